module github.com/hubship/hubship

go 1.26.0
