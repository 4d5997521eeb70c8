// Package template renders the templates of resources: Go's text/template with an allow-list of
// deterministic functions, no input or output, no clock, no randomness, and limits that hold whatever
// the template says. Rendering runs in the caller's goroutine and ends by itself.
//
// Templates come from tenants and run in the operator, over values of secrets. So an error names the
// place and the kind of trouble and never holds a value, and a template can define or include no other.
package template
