// Package e2e plays whole stories against a real installation of its own: an
// embedded node, a staging and a prod hub, pushes with the git program, users
// with HTTP. `make test-e2e` runs it from the built programs; without
// HUBSHIP_E2E=1, off Linux or without root it is skipped and says why.
//
//	HUBSHIP_E2E=1       play
//	HUBSHIP_BIN=FILE    the program to test
//	HUBSHIP_E2E_KEEP=1  leave the installation up for a look, and begin with
//	                    the one that was left
package e2e
