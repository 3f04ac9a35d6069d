package helm

import "unicode/utf8"

// The forms in which a text of one line is written.
const (
	formUnknown = iota
	formPlain
	formQuoted
)

// form decides on a text by looks. What it is not sure of is unknown.
func form(s string) int {
	if s == "" {
		return formQuoted
	}
	c := s[0]
	switch {
	case c >= '0' && c <= '9':
		return numeric(s)
	case c == '_' || c == '/':
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		if len(s) <= 5 && reserved(s) {
			return formQuoted
		}
	default:
		return formUnknown
	}
	if !smooth(s) {
		return formUnknown
	}
	return formPlain
}

// reserved says that a word means something else than itself.
func reserved(s string) bool {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO",
		"true", "True", "TRUE", "false", "False", "FALSE", "on", "On", "ON", "off", "Off", "OFF",
		"null", "Null", "NULL":
		return true
	}
	return false
}

// numeric decides on a text that begins with a digit.
func numeric(s string) int {
	digits, dots := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.':
			dots++
		case c == '/', c >= 'g' && c <= 'y' && c != 'o' && c != 't' && c != 'x', c >= 'G' && c <= 'Y' && c != 'O' && c != 'T' && c != 'X':
			if smooth(s) {
				return formPlain // no number and no time has it
			}
			return formUnknown
		}
	}
	switch {
	case digits == len(s):
		return formQuoted
	case digits+dots == len(s) && dots > 1:
		return formPlain
	}
	return formUnknown
}

// smooth says that nothing within a text, or at its end, needs quotes.
func smooth(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 0x80:
			n := printable(s[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		case c < ' ' || c == 0x7f:
			return false
		case c == ':' && (i+1 == len(s) || s[i+1] == ' '):
			return false
		case c == '#' && s[i-1] == ' ': // never the first
			return false
		}
	}
	return s[len(s)-1] != ' '
}

// literal says that a text of several lines can be a literal block.
func literal(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 0x80:
			n := printable(s[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		case c == '\n':
			if i > 0 && s[i-1] == ' ' {
				return false
			}
		case c < ' ' || c == 0x7f:
			return false
		}
	}
	return s[len(s)-1] != ' '
}

// printable returns the length of a character beyond ASCII that YAML prints as
// it is; 0 when it is another or when it is not certain.
func printable(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError || r < 0xa1 || r > 0xd7ff || r >= 0x2000 && r <= 0x206f {
		return 0
	}
	return n
}

// naturalOrder is the order of keys: numbers in them by value, and letters
// after all else.
func naturalOrder(a, b string) int {
	switch {
	case a == b:
		return 0
	case naturalLess(a, b):
		return -1
	}
	return 1
}

func naturalLess(a, b string) bool {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	if at == len(a) || at == len(b) {
		return len(a) < len(b)
	}
	letterA, letterB := isLetter(a[at]), isLetter(b[at])
	if letterA && letterB {
		return a[at] < b[at]
	}
	if letterA || letterB {
		return letterB
	}
	// Zeros count once a number has begun before them.
	var head int64
	if a[at] == '0' || b[at] == '0' {
		for i := at - 1; i >= 0 && isDigit(a[i]); i-- {
			if a[i] != '0' {
				head = 1
				break
			}
		}
	}
	numberA, lengthA := number(a[at:], head)
	numberB, lengthB := number(b[at:], head)
	switch {
	case numberA != numberB:
		return numberA < numberB
	case lengthA != lengthB:
		return lengthA < lengthB
	}
	return a[at] < b[at]
}

func number(s string, head int64) (value int64, length int) {
	for length < len(s) && isDigit(s[length]) {
		head = head*10 + int64(s[length]-'0')
		length++
	}
	return head, length
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
