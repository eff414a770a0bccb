module github.com/joinery/faas/internal/bench

go 1.26.0
