package boot

import "sync"

// Ring keeps the last lines of a log, up to a number of bytes.
type Ring struct {
	mu    sync.Mutex
	lines []string
	size  int
	limit int
	first int // number of lines[0], counted from the log's beginning
	grown chan struct{}
}

// NewRing returns an empty ring that holds limit bytes.
func NewRing(limit int) *Ring { return &Ring{limit: limit, grown: make(chan struct{})} }

// WriteLine appends a line (without its newline).
func (r *Ring) WriteLine(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.lines = append(r.lines, line)
	r.size += len(line)

	for r.size > r.limit {
		r.size -= len(r.lines[0])
		r.lines = r.lines[1:]
		r.first++
	}

	close(r.grown)
	r.grown = make(chan struct{})
}

// From returns what is kept of the lines numbered from and above, the number that comes next, and a channel that closes
// when there is more.
func (r *Ring) From(from int) (lines []string, next int, grown <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()

	skip := min(max(from-r.first, 0), len(r.lines))

	return append([]string(nil), r.lines[skip:]...), r.first + len(r.lines), r.grown
}
