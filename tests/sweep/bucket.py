"""A bucket in memory that speaks as much of Google Cloud Storage's JSON API as TensorStore uses."""

import http.server
import json
import re
import threading
import urllib.parse


class Bucket(http.server.ThreadingHTTPServer):
    """Objects by name, each with its generation."""

    def __init__(self):
        super().__init__(("localhost", 0), _Handler)
        self.objects, self.generation, self.lock = {}, 0, threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://localhost:{self.server_address[1]}"

    def described(self, name):
        content, generation = self.objects[name]
        return {"name": name, "generation": str(generation), "size": str(len(content))}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def log_message(self, format, *args):
        pass

    def asked(self):
        """The object's name, if the path has one, and the options."""
        parts = urllib.parse.urlsplit(self.path)
        name = re.fullmatch(r"(?:/upload)?/storage/v1/b/[^/]+/o(?:/(.+))?", parts.path)[1]
        options = dict(urllib.parse.parse_qsl(parts.query))
        return options.get("name") or (name and urllib.parse.unquote(name)), options

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def told(self, value):
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_GET(self):
        name, options = self.asked()
        with self.server.lock:
            if name is None:
                first, last = options.get("startOffset", ""), options.get("endOffset", "\U0010ffff")
                inside = [name for name in sorted(self.server.objects) if first <= name < last]
                self.told({"items": [self.server.described(name) for name in inside]})
            elif name not in self.server.objects:
                self.answer(404)
            else:
                content, generation = self.server.objects[name]
                self.answer(200, content, x_goog_generation=str(generation))

    def do_POST(self):
        name, options = self.asked()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            _, generation = self.server.objects.get(name, (b"", 0))
            if options.get("ifGenerationMatch", str(generation)) != str(generation):
                self.answer(412)
                return
            self.server.generation += 1
            self.server.objects[name] = content, self.server.generation
            self.told(self.server.described(name))

    def do_DELETE(self):
        name, _ = self.asked()
        with self.server.lock:
            self.server.objects.pop(name, None)
        self.answer(204)
