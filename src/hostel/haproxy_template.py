"""The part of the router's configuration that is the same for all machines, as text. Pure.

What stands between two `@` is filled in by `hostel.haproxy`, and by nothing else.
"""

from __future__ import annotations

TEMPLATE = """\
# Made by Hostel from routes.json; changes here are undone by its next run.

global
    # What this process has loaded, but for the addresses of servers: `show info` tells it.
    description @DIGEST@
    stats socket @SOCKET@ mode 600 level admin expose-fd listeners
    stats timeout 30s
    # A worker that a reload replaced ends with its last connection, at the latest after this.
    hard-stop-after 3h
    log stdout format raw local0 notice

defaults
    mode tcp
    log global
    # Long polls and long answers are the instance's matter, which has timeouts of its own.
    timeout client 2h
    timeout server 2h
    timeout client-fin 30s
    # An instance that just starts again is tried each second, at its newest address.
    timeout connect 5s
    retries 15
    option redispatch 1
    # For the one answer of the router's own: it must not keep a connection, which no timeout
    # above would end for hours.
    option httpclose
    timeout http-request 5s
    timeout http-keep-alive 1s

frontend https
@BIND_HTTPS@
    # Until it is known whose a connection is, it has this long.
    tcp-request inspect-delay 5s
    tcp-request content reject unless { req.ssl_hello_type 1 }
    tcp-request content set-var(sess.site) req.ssl_sni,lower,rtrim(.),map_str(@HTTPS_MAP@)
    tcp-request content reject unless { var(sess.site) -m found }
    use_backend %[var(sess.site)]

frontend http
@BIND_HTTP@
    tcp-request inspect-delay 5s
    tcp-request content reject unless { req.proto_http }
    # HTTP/2 without TLS; no browser speaks it.
    tcp-request content reject if { method PRI }
    tcp-request content set-var(sess.host) req.fhdr(host,1)
    # What a request line names goes before the header.
    tcp-request content set-var(sess.host) url,field(3,/) if { url -m beg -i http:// https:// }
    tcp-request content set-var(sess.host) var(sess.host),lower,field(1,:),rtrim(.)
    tcp-request content set-var(sess.site) var(sess.host),map_str(@HTTP_MAP@)
    tcp-request content accept if { var(sess.site) -m found }
    # Who asks for nobody here is told so, unless there is a body to wait for.
    tcp-request content reject unless METH_GET
    tcp-request content reject if { req.fhdr_cnt(content-length) gt 0 }
    tcp-request content reject if { req.fhdr_cnt(transfer-encoding) gt 0 }
    use_backend %[var(sess.site)] if { var(sess.site) -m found }
    default_backend unknown

backend unknown
    mode http
    http-request return status 421 content-type text/plain string "No site here has this name.\\n"
"""
