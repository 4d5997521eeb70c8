// Package docs holds pages of the documentation to what the tree really has.
package docs
