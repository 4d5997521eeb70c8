package template

import (
	"text/template"
	"text/template/parse"
)

// guard walks a parsed template: it refuses every function that is not on the list, every construct
// that could recurse, and puts a counter into every range body.
type guard struct {
	step      parse.Node
	functions template.FuncMap
}

func (g *guard) list(l *parse.ListNode) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := g.node(n); err != nil {
			return err
		}
	}
	return nil
}

func (g *guard) node(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ActionNode:
		return g.pipe(n.Pipe)
	case *parse.IfNode:
		return g.branch(&n.BranchNode)
	case *parse.WithNode:
		return g.branch(&n.BranchNode)
	case *parse.RangeNode:
		err := g.branch(&n.BranchNode)
		n.List.Nodes = append([]parse.Node{g.step.Copy()}, n.List.Nodes...)
		return err
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		return nil
	case *parse.TemplateNode:
		return failf("must not include other templates")
	}
	return failf("uses a construct that is not allowed: %s", n)
}

func (g *guard) branch(b *parse.BranchNode) error {
	if err := g.pipe(b.Pipe); err != nil {
		return err
	}
	if err := g.list(b.List); err != nil {
		return err
	}
	return g.list(b.ElseList)
}

func (g *guard) pipe(p *parse.PipeNode) error {
	if p == nil {
		return nil
	}
	for _, c := range p.Cmds {
		if err := literalMessage(c); err != nil {
			return err
		}
		for _, arg := range c.Args {
			if err := g.arg(arg); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *guard) arg(n parse.Node) error {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		if !allowed(n.Ident, g.functions) {
			return failf("uses function %s, which is not allowed", n.Ident)
		}
	case *parse.PipeNode:
		return g.pipe(n)
	case *parse.ChainNode:
		return g.arg(n.Node)
	}
	return nil
}

// literalMessage keeps values out of the message of required: it must stand in the template as text.
func literalMessage(c *parse.CommandNode) error {
	fn, ok := c.Args[0].(*parse.IdentifierNode)
	if !ok || fn.Ident != "required" {
		return nil
	}
	if len(c.Args) > 1 && c.Args[1].Type() == parse.NodeString {
		return nil
	}
	return failf(`required takes its message as literal text: required "why" .source.field`)
}
