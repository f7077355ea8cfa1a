#!/bin/sh
# install.sh [--remove] DESTDIR PREFIX [FOLDER-OF-PROGRAMS]: puts programs, unit and manuals below DESTDIR/PREFIX.
# Configuration in /etc is never touched. A tandemd with the feature `dbus` gets its policy on the system's bus, too.
set -eu

remove=no
if [ "${1:-}" = --remove ]; then
	remove=yes
	shift
fi
destdir=${1-} prefix=${2:-/usr/local} programs=${3:-target/release}
here=$(cd "$(dirname "$0")" && pwd)
# A unit below /usr/local is not read by every systemd, and a policy there by no bus; these places are.
case $prefix in
/usr) units=/usr/lib/systemd/system policies=/usr/share/dbus-1/system.d ;;
*) units=/etc/systemd/system policies=/etc/dbus-1/system.d ;;
esac

if [ "$remove" = yes ]; then
	if [ -z "$destdir" ] && command -v systemctl >/dev/null 2>&1; then
		systemctl disable --now tandem.service >/dev/null 2>&1 || true
	fi
	rm -f "$destdir$prefix/sbin/tandemd" "$destdir$prefix/bin/tandem" "$destdir$units/tandem.service"
	rm -f "$destdir$policies/tandem-dbus.conf"
	rm -f "$destdir$prefix/share/man/man8/tandemd.8" "$destdir$prefix/share/man/man1/tandem.1"
else
	for program in tandemd tandem; do
		if [ ! -x "$programs/$program" ]; then
			echo "install.sh: $programs/$program is missing; 'make build' makes it" >&2
			exit 1
		fi
	done
	install -D -m 0755 "$programs/tandemd" "$destdir$prefix/sbin/tandemd"
	install -D -m 0755 "$programs/tandem" "$destdir$prefix/bin/tandem"
	mkdir -p "$destdir$units"
	sed "s|/usr/local/sbin/|$prefix/sbin/|g" "$here/tandem.service" >"$destdir$units/tandem.service"
	chmod 0644 "$destdir$units/tandem.service"
	if "$programs/tandemd" -vv | grep -q "^Tandem features :.*+DBUS"; then
		install -D -m 0644 "$here/tandem-dbus.conf" "$destdir$policies/tandem-dbus.conf"
	else
		rm -f "$destdir$policies/tandem-dbus.conf"
	fi
	install -D -m 0644 "$here/tandemd.8" "$destdir$prefix/share/man/man8/tandemd.8"
	# The client writes its own manual, from its command line.
	mkdir -p "$destdir$prefix/share/man/man1"
	"$programs/tandem" man >"$destdir$prefix/share/man/man1/tandem.1"
	chmod 0644 "$destdir$prefix/share/man/man1/tandem.1"
fi

if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
