#!/bin/bash
# diagnostic-bundle.sh

TIMESTAMP=$(date +%Y%m%d_%H%M%S)
BUNDLE_DIR="codeai-diagnostics-$TIMESTAMP"
mkdir -p "$BUNDLE_DIR"

# Version info
codeai version > "$BUNDLE_DIR/version.txt"

# Health check
curl -s http://localhost:8080/health > "$BUNDLE_DIR/health.json"

# Metrics snapshot
curl -s http://localhost:8080/metrics > "$BUNDLE_DIR/metrics.txt"

# Goroutine dump
curl -s http://localhost:8080/debug/pprof/goroutine?debug=2 > "$BUNDLE_DIR/goroutines.txt"

# Heap profile
curl -s http://localhost:8080/debug/pprof/heap > "$BUNDLE_DIR/heap.pb.gz"

# Recent logs (last 1000 lines)
tail -1000 /var/log/codeai/app.log > "$BUNDLE_DIR/recent-logs.txt" 2>/dev/null || echo "Log file not found"

# System info
echo "OS: $(uname -a)" > "$BUNDLE_DIR/system-info.txt"
echo "Memory: $(free -h 2>/dev/null || vm_stat)" >> "$BUNDLE_DIR/system-info.txt"

# Create tarball
tar -czf "$BUNDLE_DIR.tar.gz" "$BUNDLE_DIR"
rm -rf "$BUNDLE_DIR"

echo "Diagnostic bundle created: $BUNDLE_DIR.tar.gz"
