module github.com/joinery/faas/examples

go 1.26.0
