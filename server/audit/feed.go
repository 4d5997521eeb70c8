package audit

// maxHeld bounds the facts that wait in memory for the indexer, per chain. Beyond it they are read back from
// the table, which costs decoding but loses nothing.
const maxHeld = 1 << 18

// feed is what the indexer knows of one chain it looks after. Log.mu guards it.
type feed struct {
	indexed int64 // the index holds the entries up to here
	head    int64 // the chain ends here
	blocks  []segmentBlock
	held    int  // facts in blocks
	lost    bool // blocks does not hold everything after indexed: read the table
}

// add takes a committed block.
func (f *feed) add(b *block) {
	if b.first != f.head+1 {
		f.lose()
	}
	f.head = max(f.head, b.last)
	if f.lost {
		return
	}
	if f.held += len(b.facts); f.held > maxHeld {
		f.lose()
		return
	}
	f.blocks = append(f.blocks, segmentBlock{ref: b.ref, last: b.last, facts: b.facts})
}

func (f *feed) lose() { f.blocks, f.held, f.lost = nil, 0, true }

// take hands over what waits in memory.
func (f *feed) take() []segmentBlock {
	blocks := f.blocks
	f.blocks, f.held = nil, 0
	return blocks
}

// reached notes that the index holds everything up to seq.
func (f *feed) reached(seq int64) { f.indexed, f.head = max(f.indexed, seq), max(f.head, seq) }
