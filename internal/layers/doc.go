// Package layers holds the test that keeps the packages' arrows pointing down.
package layers
