module github.com/joinery/faas/internal/fault

go 1.26.0
