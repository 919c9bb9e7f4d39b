// With a dot: Go 1.19 takes names without one for the standard library.
module example.com/go-offsets

go 1.18
