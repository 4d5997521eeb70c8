package httpapi

import "sync"

const (
	firstBuffer = 4 << 10
	keptBuffer  = 64 << 10
)

// buffers are reused between answers. What an answer held is wiped before another may have its buffer.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any {
		b := make([]byte, 0, firstBuffer)
		return &b
	}}}
}

func (b *buffers) get() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	return new([]byte)
}

func (b *buffers) put(buf *[]byte) {
	clear(*buf)
	if cap(*buf) > keptBuffer {
		return
	}
	*buf = (*buf)[:0]
	b.pool.Put(buf)
}
