package boot

import "sync"

// Ring keeps the last lines of a log, up to a number of bytes.
type Ring struct {
	mu    sync.Mutex
	lines []string
	size  int
	limit int
}

// NewRing returns an empty ring that holds limit bytes.
func NewRing(limit int) *Ring { return &Ring{limit: limit} }

// WriteLine appends a line (without its newline).
func (r *Ring) WriteLine(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.lines = append(r.lines, line)
	r.size += len(line)

	for r.size > r.limit {
		r.size -= len(r.lines[0])
		r.lines = r.lines[1:]
	}
}

// Lines returns what is kept, the oldest first.
func (r *Ring) Lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return append([]string(nil), r.lines...)
}
