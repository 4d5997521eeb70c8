// Package undeploy runs `make undeploy` against a real control plane.
package undeploy
