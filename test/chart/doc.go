// Package chart installs, upgrades and uninstalls charts/scaivault with the real Helm, 3 and 4, on a real control
// plane. There is no kubelet: a stand-in runs the pods' commands as processes of this machine, with what the pods
// mount and with the rights of their ServiceAccounts, so that a flag, a right or a mount that the chart gets wrong
// fails. That pods run in containers is shown by test/e2e.
package chart
