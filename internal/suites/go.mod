module github.com/joinery/faas/internal/suites

go 1.26.0
