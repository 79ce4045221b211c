#!/usr/bin/env bash
# Fetches the documents that bench/documents.ts reads, and the tools that it compares with, into the folder given.
# Nobody here wrote them, and their licences differ file by file, so none is in this repository.
# Needs apt (Debian 12, as root for poppler-utils), Python with pip.
set -euo pipefail
place=$1
mkdir -p "$place/sources" "$place/debian"
cd "$place"
[ -d venv ] || python3 -m venv venv
venv/bin/pip install -q pdfplumber==0.11.10 rapidocr-onnxruntime==1.4.4 pikepdf==10.18.0 pillow==13.0.0
command -v pdftotext > /dev/null || apt-get install -y -qq poppler-utils
if [ ! -d sources/pikepdf-10.18.0 ]; then
  venv/bin/pip download -q --no-deps --no-binary :all: -d sources pikepdf==10.18.0 pypdf==7.1.1
  for archive in sources/*.tar.gz; do tar xzf "$archive" -C sources; done
fi
if [ ! -d debian/usr ]; then
  cd debian
  apt-get download -qq r-doc-pdf python-reportlab-doc gnuplot-doc octave-doc camlidl-doc gri-pdf-doc
  for package in *.deb; do dpkg -x "$package" .; done
  find . -name '*.pdf.gz' -exec gunzip -kf {} +
fi
