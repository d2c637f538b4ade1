#!/bin/sh
# ./check.sh: do copies of one saved machine differ? Prints a table, and writes clones.xml (JUnit) and console-N.log here.
# Exit status: 0 they differ; 1 they are alike; 2 it could not be found out.
# COPIES (3), WINDOW (milliseconds that a source may be alike; 0), COMMONHV (the command), and vm.sh's variables.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${COMMONHV:=npx --no -- commonhv}" "${COPIES:=3}" "${WINDOW:=0}"
rm -f console-*.log clones.xml
SAMPLER=$PWD/sampler.cpio
export SAMPLER
$COMMONHV clones --sampler "$SAMPLER" --arch "${ARCH:-i386}" || exit 2
$COMMONHV clones --copies "$COPIES" --allow-window "$WINDOW" --format junit \
  --save "'$here/vm.sh' save {state}" --resume "'$here/vm.sh' resume {state} {copy} | tee console-{copy}.log" >clones.xml
status=$?
[ $status = 2 ] || $COMMONHV clones --allow-window "$WINDOW" --from console-*.log
exit $status
