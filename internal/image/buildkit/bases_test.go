package buildkit

import (
	"slices"
	"strings"
	"testing"
)

func TestBaseRefs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dockerfile string
		want       []string
		err        string
	}{
		"one stage":           {"FROM debian:bookworm-slim\nRUN true\n", []string{"debian:bookworm-slim"}, ""},
		"lower case, comment": {"# a comment\nfrom debian\n", []string{"debian"}, ""},
		"scratch":             {"FROM scratch\nCOPY a /\n", nil, ""},
		"argument with default": {
			"ARG TAG=bookworm\nARG BASE=debian:${TAG}-slim\nFROM ${BASE}\n", []string{"debian:bookworm-slim"}, ""},
		"default within FROM": {"ARG TAG\nFROM debian:${TAG:-trixie}\n", []string{"debian:trixie"}, ""},
		"platform argument": {
			"FROM --platform=$BUILDPLATFORM builder-$TARGETARCH\n", []string{"builder-amd64"}, ""},
		"platform argument redeclared": {
			"ARG TARGETARCH\nFROM builder-$TARGETARCH\n", []string{"builder-amd64"}, ""},
		"argument without default": {"ARG BASE\nFROM $BASE\n", nil, "line 2"},
		"stages": {
			"FROM golang:1 AS build\nRUN true\nFROM debian\nCOPY --from=build /a /a\n", []string{"debian", "golang:1"}, ""},
		"stage by number, in other case": {
			"FROM a:1 AS One\nFROM b:1 AS two\nFROM c:1\nCOPY --from=0 /a /a\nCOPY --from=TWO /a /a\n", []string{"a:1", "b:1", "c:1"}, ""},
		"stage from stage": {"FROM a:1 AS one\nFROM one\nRUN true\n", []string{"a:1"}, ""},
		"image of the name of a later stage": {
			"FROM debian AS first\nFROM node AS debian\nCOPY --from=first /a /a\n", []string{"debian", "node"}, ""},
		"unused stage":      {"FROM unused:1 AS tests\nFROM debian\n", []string{"debian"}, ""},
		"copy from image":   {"FROM debian\nCOPY --from=nginx:1 /a /a\n", []string{"debian", "nginx:1"}, ""},
		"copy from nowhere": {"FROM debian\nCOPY --from=3 /a /a\n", nil, "line 2"},
		"mount from image": {
			"FROM debian\nRUN --mount=type=bind,from=tools:1,target=/t true\nRUN --mount=type=cache,target=/c true\n",
			[]string{"debian", "tools:1"}, ""},
		"mount from stage": {
			"FROM tools:2 AS t\nFROM debian\nRUN --mount=from=t,target=/t true\n", []string{"debian", "tools:2"}, ""},
		"FROM in a here-document": {
			"FROM debian\nRUN <<EOF\nFROM nowhere\nEOF\n", []string{"debian"}, ""},
		"syntax line": {"# syntax=docker/dockerfile:1\nFROM debian\n", []string{"debian"}, ""},
		"other escape": {
			"# escape=`\nFROM debian\nRUN a `\n  b\n", []string{"debian"}, ""},
		"pinned":              {"FROM debian@sha256:" + strings.Repeat("a", 64) + "\n", []string{"debian@sha256:" + strings.Repeat("a", 64)}, ""},
		"empty":               {"", nil, "no instructions"},
		"no FROM":             {"ARG A=1\n", nil, "FROM"},
		"unknown instruction": {"FROM debian\nRUNN true\n", nil, "line 2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := baseRefs([]byte(tt.dockerfile), "linux/amd64")
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
			case err != nil || !slices.Equal(got, tt.want):
				t.Errorf("baseRefs = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func FuzzBaseRefs(f *testing.F) {
	f.Add("ARG A=b\nFROM ${A} AS x\nFROM x\nCOPY --from=x . .\nRUN --mount=from=y,target=/t true\n")
	f.Fuzz(func(t *testing.T, dockerfile string) {
		refs, err := baseRefs([]byte(dockerfile), "linux/amd64")
		if err != nil {
			return
		}
		if !slices.IsSorted(refs) || slices.Contains(refs, scratch) || slices.Contains(refs, "") {
			t.Errorf("baseRefs of %q = %q", dockerfile, refs)
		}
	})
}
