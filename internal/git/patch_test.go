package git

import (
	"reflect"
	"testing"
)

func TestPatchLines(t *testing.T) {
	patch := "@@ -3,2 +3,3 @@ heading\n a\n-b\n+B\n+@@ -1 +1 @@\n@@ -9 +10 @@\n-z\n\\ No newline at end of file\n+Z"
	want := []PatchLine{
		{'@', "@@ -3,2 +3,3 @@ heading", 0, 0}, {' ', "a", 3, 3}, {'-', "b", 4, 0}, {'+', "B", 0, 4}, {'+', "@@ -1 +1 @@", 0, 5},
		{'@', "@@ -9 +10 @@", 0, 0}, {'-', "z", 9, 0}, {'\\', `\ No newline at end of file`, 0, 0}, {'+', "Z", 0, 10},
	}
	if got := PatchLines(patch); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := PatchLines(""); got != nil {
		t.Errorf("no patch has lines: %+v", got)
	}
}
