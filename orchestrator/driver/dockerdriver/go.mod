module github.com/joinery/faas/orchestrator/driver/dockerdriver

go 1.26.0
