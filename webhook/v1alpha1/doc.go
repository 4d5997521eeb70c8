// Package v1alpha1 is the admission of ScaiVault's resources that CEL cannot express: patterns, templates,
// time windows, times of rotations and durations parse, and no two objects claim one target unless both share it.
//
// It is a courtesy to whoever types: the operator repeats every rule when it reconciles, so an install
// without this webhook, or one whose webhook is down, is as safe. It judges CREATE and UPDATE of a spec and
// nothing else: never a delete, a finalizer, a label or a status.
package v1alpha1
