#!/bin/sh
# Copy iptables, its plugins, nft, conntrack, ip and a shell to $1 with the libraries they link. A missing
# one (libm, of an iptables plugin) leaves the node Ready and every Service dead.
set -eu
out=$1

take() {
  for file in "$@"; do
    mkdir -p "$out$(dirname "$file")"
    cp -L "$file" "$out$file"
    libraries "$file" | while read -r library; do
      mkdir -p "$out$(dirname "$library")"
      cp -L "$library" "$out$library"
    done
  done
}

libraries() {
  ldd "$1" 2> /dev/null | grep -oE '/[^ ]+' || :
}

mkdir -p "$out/usr/sbin" "$out/usr/bin" "$out/usr/lib" "$out/usr/lib64" "$out/usr/local/bin"
mkdir -p "$out/tmp" "$out/run" "$out/etc" "$out/var"
for merged in sbin bin lib lib64; do
  ln -s "usr/$merged" "$out/$merged"
done
# Containers without /var/run -> /run find no xtables lock and no service account token.
ln -s /run "$out/var/run"

take /usr/sbin/xtables-nft-multi /usr/sbin/nft /usr/sbin/conntrack /usr/sbin/ip /usr/lib/*/xtables/*.so
take /usr/bin/dash /usr/bin/cat /usr/bin/mv /usr/bin/sleep /usr/bin/mkdir /usr/bin/rm /usr/bin/dirname /usr/bin/kmod
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
  ln -s xtables-nft-multi "$out/usr/sbin/$name"
done
ln -s dash "$out/usr/bin/sh"
ln -s ../bin/kmod "$out/usr/sbin/modprobe"
cp /etc/protocols "$out/etc/" 2> /dev/null || :
