#!/bin/sh
# Checks that every package in the lists of the users' images has one version, and
# is listed once. Runs on pull requests (see `checks` in hubship.yaml), and by
# hand: sh checks/packages.sh
set -eu
find deployments -name '*requirements.txt' -exec awk '
FNR == 1 { split("", first) }
{ sub(/(^|[ \t])#.*/, ""); sub(/^[ \t]+/, ""); sub(/[ \t\r]+$/, "") }
# Options, folders and files beside the list are taken as they are.
$0 == "" || /^[-.\/]/ { next }
!/^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^]]*\])?==[^*=, ]+( *;.*)?$/ {
  print FILENAME ":" FNR ": " $0 ": write one version, as in name==1.2.3"; bad = 1
}
{
  name = tolower($0); sub(/[^a-z0-9._-].*/, "", name); gsub(/[._-]+/, "-", name)
  # A package may be listed for several platforms.
  if (name in first && !/;/) { print FILENAME ":" FNR ": " name " is already in line " first[name]; bad = 1 }
  first[name] = FNR
}
END { exit bad }' {} +
echo "every package has one version"
