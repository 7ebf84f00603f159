// Written by tools/export.py: `make draw`.
window.LENET5_SAMPLES = {
"format": 1,
"kernelShape": [5, 5, 1, 6],
"kernels":
"nB6vPWONu77eu6e8/CMVvfMqsbxcgSY+EyBGPgi69b55fg09J0IAPmVrXD3lloW+pphjPkEGtL4U+oI9TOpVPpZbOz5NRmi+mdBZPDuU+r0oJDC9DCPePcWYKz4BL/i8dAU7vUuKkjzhZAW9ayz3PSiQbz6eV00+JL+bPlywK716W109gMutvphTCL3pg5A+j3gCPn2F2738mnc+hw9/vfVbzT1+FGc9aV/hvhaptr4u4K0+QVp8PlKPWz0V3qu+DCgDv2iYFL+o+Xs+/Xy9PcrJAb6bhxO/liPCvYsEqr7YlZ097ePyu4jBmzyafSI9eBWePLvYbT0lAqs840lcvoWHRzwUwWE+ghxiv+sR8z3mbkg+U7BjPqM4dr23Crw+4r8cvzipzzuc5qc+Y+TUPo19Kr8gOsA8M63NvbWLFL6jzsM+rdg7PQsgQ78Nfh2/2bRePjvSVL5Tp1E+rMONvsVRFb7QKdG+EK0kv3WmNT09nrO+UzBdvD74DT7Fp/c8NxTmvtlqQD5oAL2+c46zPoO4sD0Sa7c+kSGlPZInVz5lZ3S+lmGEPtvXZ75Ay6A+Z5yxPsQWPD5I6LG8Kescvq6xLr3mkXy+Ms2jPqImET6N9YU95ijfvmuCVj7JTbW+RCP/vt3TnrwqPqi94onvPBsQuD1cnAa+WTKuvZGE6D0zrIG+WWzcPWnznj4a500+QvJYPiQONT7Q9ga/I98avvzM/D5g5U4+9xfAPnOodz4YMwC/yymtvl9z0z5r/mq86IPfPVCwWD44UTW+/WVDvsJCUj5vETm9",
"biases":
"+pGXOw5vwj2xPhg5GG+yvs+Ss766dae8"
};
