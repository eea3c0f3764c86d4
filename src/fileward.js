#!/bin/sh
':' /* The command. sh runs the part up to the closing mark, JavaScript the part below it.

# The first Node that is new enough: the one on the PATH, or the one beside these files.
file=$(readlink -f -- "$0")
folder=${file%/src/*}
for node in node "$folder/node_modules/.bin/node" "${folder%/fileward}/.bin/node"; do
  case $("$node" --version 2>/dev/null) in
  v22.1[89].* | v22.[2-9][0-9].* | v2[4-9].* | v[3-9][0-9].*)
    # exec: the process id stays the one that the service manager knows.
    exec "$node" --disable-warning=ExperimentalWarning "$file" "$@" ;;
  esac
done
echo "fileward: needs Node 22.18 or newer, found $(node --version 2>/dev/null || echo none)." >&2
if [ -f "$folder/.ci/setup" ]; then fix="run \"npm run build\" in $folder"; else fix='run "npm install node@24"'; fi
echo "Fix: install a newer Node, or $fix, which brings one." >&2
exit 3
*/

// What is here must parse under an old Node too: `node FILE` on such a machine ends here.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major >= 24 || (major === 22 && minor >= 18)) {
  const { existsSync } = await import('node:fs');
  const main = new URL('../dist/main.js', import.meta.url);
  if (existsSync(main)) {
    await import(main.href);
  } else {
    console.error('fileward: not built yet, dist/main.js is missing.');
    console.error('Fix: run "npm run build" in the folder of its package.json.');
    process.exitCode = 3;
  }
} else {
  const { spawn } = await import('node:child_process');
  const { fileURLToPath } = await import('node:url');
  const { constants } = await import('node:os');
  const child = spawn('/bin/sh', [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR2']) {
    process.on(signal, () => {
      // Ctrl-C on a terminal reaches the child by itself; twice would mean "at once".
      const reachedChild = onTerminal && (signal === 'SIGINT' || signal === 'SIGQUIT');
      if (!reachedChild) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    console.error(`fileward: cannot start /bin/sh: ${error.message}`);
    process.exit(3);
  });
  child.on('exit', (code, signal) => {
    // As a shell says it.
    process.exit(signal === null ? code : 128 + constants.signals[signal]);
  });
}
