package chart_test

import (
	"fmt"
	"io"
	"net"
	"testing"
)

// service is the vault's Service: one address that leads to the pods that are there.
type service struct {
	listener net.Listener
	backend  func() (string, error)
}

func newService(t *testing.T, backend func() (string, error)) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{listener: l, backend: backend}
	go s.serve()
	t.Cleanup(func() { _ = l.Close() })
	return s
}

// url names the service so that the server's certificate fits.
func (s *service) url() string {
	return fmt.Sprintf("https://localhost:%d", s.listener.Addr().(*net.TCPAddr).Port)
}

func (s *service) serve() {
	for {
		in, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.forward(in)
	}
}

// forward ends both connections when one of them ends.
func (s *service) forward(in net.Conn) {
	defer func() { _ = in.Close() }()
	address, err := s.backend()
	if err != nil {
		return
	}
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}
