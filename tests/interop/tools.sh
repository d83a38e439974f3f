# For the runners beside it: what they need of node and Python, installed by name into a folder of the build's, and a server to talk to.

cache="${CARGO_TARGET_DIR:-$PWD/target}/interop"
target="${CARGO_TARGET_DIR:-$PWD/target}/debug"
INSTALL_SECONDS_MAX=300

# The newest clients need this much.
new_enough_node() {
  command -v node >/dev/null 2>&1 && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 19) ? 0 : 1)'
}

# install_node SOURCE NAME: what SOURCE/package.json names, into a folder of its own, with a node that is new enough. No script of any
# package is run. Sets `modules` and puts that node first in PATH.
install_node() {
  local package="$1/package.json" folder="$cache/$2" more=() node
  node="node-$(node -p 'process.platform + "-" + process.arch')" # one package for each kind of machine
  if ! cmp -s "$package" "$folder/installed.json"; then
    rm -rf "$folder" && mkdir -p "$folder" && cp "$package" "$folder/package.json"
    new_enough_node || more=("$node@22")
    (cd "$folder" && timeout "$INSTALL_SECONDS_MAX" npm install --no-save --ignore-scripts --no-audit --no-fund --no-package-lock \
      --loglevel=error "${more[@]}" >/dev/null 2>"$folder/npm.log") || {
      cat "$folder/npm.log"; echo "What $package names could not be installed. Check the connection and start again."; return 1
    }
    cp "$package" "$folder/installed.json"
  fi
  modules="$folder/node_modules"
  if ! new_enough_node; then PATH="$modules/$node/bin:$PATH"; fi
  new_enough_node || { echo "No node of 22.19 or newer after installing it. Remove $folder and start again."; return 1; }
}

# install_python SOURCE NAME: what SOURCE/requirements.txt names. Sets `python`.
install_python() {
  local requirements="$1/requirements.txt" folder="$cache/$2"
  if ! cmp -s "$requirements" "$folder/installed.txt"; then
    rm -rf "$folder" && mkdir -p "$cache" && python3 -m venv "$folder" &&
      timeout "$INSTALL_SECONDS_MAX" "$folder/bin/pip" install --quiet --requirement "$requirements" || {
      echo "What $requirements names could not be installed. Check the connection and start again."; return 1
    }
    cp "$requirements" "$folder/installed.txt"
  fi
  python="$folder/bin/python"
}

home=''
server=''
beside=() # other programs that end with it
stop_server() {
  local program
  for program in "${beside[@]}"; do kill "$program" 2>/dev/null || true; wait "$program" 2>/dev/null || true; done
  beside=()
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; server=''; fi
  if [ -n "$home" ]; then rm -rf "$home"; home=''; fi
}

# start_server PROGRAM [NAME=VALUE…]: with a shop of its own, on a free port, with these settings. Sets `url` and `home`; it ends with the
# runner.
start_server() {
  home="$(mktemp -d)"
  chmod 755 "$home" # started by root, its database runs as another user
  trap stop_server EXIT
  # From a folder of its own, so that nobody's .env is read.
  (cd "$home" && exec env -i PATH="$PATH" COUNTERSIGN_HOME="$home/shop" MCP_BIND=127.0.0.1:0 RUST_LOG=error "${@:2}" "$1" 2>"$home/told") &
  server=$!
  local tries
  for ((tries = 0; tries < 240; tries++)); do
    if grep -q '^Ctrl-C stops it' "$home/told" 2>/dev/null; then url="$(sed -n 's/^MCP *//p' "$home/told")"; return 0; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.25
  done
  echo "$1 did not start:"; cat "$home/told"; return 1
}
