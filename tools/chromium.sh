#!/bin/sh
# Print the path of Chromium for the browser's tests; install Debian's where it is missing and that is possible.
# CHROMIUM=/path/to/browser names another one.
find_browser() {
    for name in ${CHROMIUM:-chromium chromium-browser google-chrome}; do
        command -v "$name" && return 0
    done
    return 1
}
find_browser && exit 0
if [ -z "$CHROMIUM" ] && command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing chromium." >&2
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } > /dev/null
    find_browser && exit 0
    echo "apt-get could not install chromium." >&2
fi
echo "The browser's tests need Chromium: install the package chromium, or name a browser: make browser CHROMIUM=/path/to/it" >&2
exit 1
