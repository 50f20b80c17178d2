package api

import "testing"

func TestTheLastLinesOfALog(t *testing.T) {
	for _, one := range []struct {
		text  string
		lines int
		want  string
	}{
		{"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc", 1, "c"}, {"a\nb\n", 9, "a\nb\n"}, {"a\n", 0, ""}, {"", 3, ""}, {"a\n\nb\n", 2, "\nb\n"},
	} {
		if got := one.text[tailStart([]byte(one.text), one.lines):]; got != one.want {
			t.Errorf("last %d of %q: %q", one.lines, one.text, got)
		}
	}
}
