#!/usr/bin/env bash
# Lets Prometheus' promtool read a worker's metrics: check-metrics.sh http://127.0.0.1:9092/metrics
# Needs Debian's apt; promtool is unpacked into a temporary folder, nothing is installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download -qq prometheus && dpkg -x prometheus_*.deb root)
curl -fsS "$1" | "$folder/root/usr/bin/promtool" check metrics && echo "promtool: no problems"
