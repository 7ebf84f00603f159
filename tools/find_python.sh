#!/bin/sh
# Print the first Python of a supported version among the given names, or one line that says what is missing.
tried=""
for python in ${1:-python3 python3.13 python3.12 python3.11 python}; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case "$version" in
        3.11 | 3.12 | 3.13) command -v "$python"; exit 0 ;;
    esac
    tried="$tried $python is $version;"
done
echo "This project needs Python 3.11, 3.12 or 3.13;${tried:- none was found;} install one, or name it: make PYTHON=/path/to/python3.12" >&2
exit 1
