// Package node runs pods for tests: a control plane of test/controlplane, and round it kube-scheduler, containerd
// with runc, kubelet, kube-proxy and CoreDNS, all real.
//
// The whole test process with everything it starts lives in Linux namespaces of its own (mounts, network, process
// ids), see Main. So its fixed ports and addresses meet nobody, no packet leaves the machine, and when it ends,
// however it ends, the kernel takes away what it left: processes, mounts, the bridge, iptables rules, ip_forward.
// Its files and cgroups are removed by the process outside, or by the next one if that was killed.
//
// The binaries come from hack/node/assets.sh, which says what a machine lacks to run a node.
package node
