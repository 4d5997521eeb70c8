// Package operator runs the real scaivault-operator as a process of its own: built once per test process, with
// the rights of its own ServiceAccount, to be killed, stopped and started again. It dies with the test process.
// Its tests run it against a real control plane and a real scaivault-server.
package operator
