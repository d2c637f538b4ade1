# Sourced by the scripts that take packages from Debian's archive: an apt of their own, whose state the system's apt knows
# nothing of. `private_apt ARCHITECTURE FOLDER [SUITE]` sets it up below FOLDER and brings its lists; the system's sources are
# used, or SUITE (bullseye, sid) of the same mirrors.
# The caller has `die MESSAGE STATUS`; status 3 says that what is missing is not to be had here, and tests skip on it.
# `need PROGRAM...` ends so where one is not installed.

need() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "$tool is not installed" 3
  done
}

# `one_at_a_time FILE`: several tests may want the same at once. The first makes it, the others wait until it has ended.
one_at_a_time() {
  command -v flock >/dev/null || return 0
  exec 9>"$1"
  flock 9
}

private_apt() {
  need apt-get
  apt=$2
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  : >"$apt/status"
  cat >"$apt/apt.conf" <<CONF
APT::Architecture "$1";
APT::Architectures "$1";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Log "$apt";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "";
CONF
  [ -z "${3-}" ] || other_suite "$3"
  export APT_CONFIG="$apt/apt.conf"
  # One of several sources may be out of step for a while: what the others have is enough.
  apt-get -q update >"$apt/log" 2>&1 || echo "apt-get update: $(tail -n 1 "$apt/log")" >&2
}

# `other_suite SUITE`: writes sources and configuration for it.
other_suite() {
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f "$keys" ] || die "$keys is not there: debian-archive-keyring is not installed" 3
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sort -u |
    while read -r origin uri; do
      case $origin,$1,$uri in
        Debian,sid,*security*) ;; # has none
        Debian,*security*) echo "deb [signed-by=$keys] $uri $1-security main" ;;
        Debian,*) echo "deb [signed-by=$keys] $uri $1 main" ;;
      esac
    done >"$apt/sources"
  [ -s "$apt/sources" ] || die "the system's apt knows no mirror of Debian: apt-get update" 3
  printf 'Dir::Etc::sourcelist "%s";\nDir::Etc::sourceparts "-";\n' "$apt/sources" >>"$apt/apt.conf"
}

# `newest_kernel SERIES FLAVOUR`: the newest signed kernel whose version begins so.
newest_kernel() {
  found=$(apt-cache pkgnames "linux-image-$1." |
    sed -nE "s/^(linux-image-[0-9][0-9.]*(-[0-9]+|\+deb[0-9]+)-$2)\$/\1/p" | sort -uV | tail -n 1)
  [ -n "$found" ] || die "the mirror has no linux-image-$1.*-$2" 3
  echo "$found"
}

# `suite_of SERIES`: the suite that has kernels of a series which Debian 12 does not have; nothing for its own.
suite_of() {
  case $1 in
    5.*) echo bullseye ;;
    [7-9].* | [7-9]) echo sid ;;
  esac
}

# `kernel_of METAPACKAGE`: the name of the kernel's package that a metapackage stands for.
kernel_of() {
  found=$(apt-cache depends --no-recommends --no-suggests "$1" 2>/dev/null |
    sed -n "s/^ *Depends: \(linux-image-[0-9].*-${1#linux-image-}\).*/\1/p" | head -n 1)
  [ -n "$found" ] || die "apt knows no $1: Debian 12's sources are needed" 3
  echo "$found"
}

# `download FOLDER PACKAGE...`
download() (
  cd "$1"
  shift
  apt-get -q download "$@" >>"$apt/log" 2>&1 || die "apt-get download failed: $(tail -n 1 "$apt/log")" 3
)
