#!/bin/sh
# One per node: give this node's pod range to the CNI, route the other nodes' ranges, masquerade only what
# leaves the pod network.
set -u

ACCOUNT=/var/run/secrets/kubernetes.io/serviceaccount
CONFLIST=/etc/cni/net.d/10-nodenet.conflist
# name, pod range, address: one node a line
NODES='{range .items[*]}{.metadata.name}{" "}{.spec.podCIDR}{" "}{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'

nat() { iptables -w -t nat "$@"; }

masquerade() {
  nat -N NODENET-MASQ 2> /dev/null
  nat -F NODENET-MASQ
  nat -A NODENET-MASQ -d "$POD_SUBNET" -j RETURN
  nat -A NODENET-MASQ -d 224.0.0.0/4 -j RETURN
  nat -A NODENET-MASQ -j MASQUERADE
  nat -C POSTROUTING -s "$POD_SUBNET" -j NODENET-MASQ 2> /dev/null ||
    nat -A POSTROUTING -s "$POD_SUBNET" -j NODENET-MASQ
}

# The token is read at each call: it changes about every hour.
nodes() {
  kubectl --server="https://$CONTROL_PLANE_ENDPOINT" --certificate-authority="$ACCOUNT/ca.crt" \
    --token="$(cat "$ACCOUNT/token")" --request-timeout=10s get nodes -o "jsonpath=$NODES"
}

# ptp, not bridge: all of a pod's packets pass the node's routing, so a Service whose endpoint is on the
# same node works without the br_netfilter module.
write_conflist() {
  cat > "$CONFLIST.new" <<JSON
{"cniVersion": "0.4.0", "name": "nodenet", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
   "ranges": [[{"subnet": "$1"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
JSON
  mv "$CONFLIST.new" "$CONFLIST"
  echo "pods of this node: $1"
}

# Fails when a node has no pod range or no address yet: then all is tried again.
connect() {
  while read -r name range address; do
    [ -n "$address" ] || return 1
    if [ "$name" = "$NODE_NAME" ]; then
      write_conflist "$range"
    else
      ip route replace "$range" via "$address" || return 1
      echo "pods of $name: $range via $address"
    fi
  done
}

masquerade
known=
while :; do
  found=$(nodes) || found=$known
  if [ "$found" != "$known" ] && printf '%s\n' "$found" | connect; then
    known=$found
  fi
  sleep 3
done
