package egress

import (
	"context"
	"net"
	"net/netip"
)

// Public tells whether an address is called without AllowPrivate.
func Public(a netip.Addr) bool { return newJudge().public(a) }

// Dialled has c hand its connections to dial, which sees the addresses that it would have connected to.
func (c *Client) Dialled(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.dial = dial
}
