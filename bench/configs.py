"""What the racers are told: the application server, HAProxy's language for HAProxy and trilb, and nginx's.

Each has its real features on: a cookie inserted (indirect, nocache), the client's address forwarded, a log line for
every request to a UDP sink, timeouts. `{web}` and its kin are the ports of the endpoints that races run against.
"""

from __future__ import annotations

from pathlib import Path

ENDPOINTS = ("web", "tracked", "raw", "tls", "rsa")
"""HTTP; HTTP with a stick table; TCP; HTTPS with a P-256 key, HTTP/2 too; HTTPS with an RSA key of 2,048 bits."""

_HEAD = """
global
    log 127.0.0.1:{{syslog}} local0
    maxconn {maxconn}
    nbthread 1

defaults
    mode http
    log global
    option httplog
    option splice-auto
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout http-keep-alive 60s
"""
# nbthread 1 and splice-auto are for HAProxy: trilb is one thread in any case, and splices what is long.

_WEB = """
frontend web
    bind 127.0.0.1:{web}
    default_backend app

backend app
    balance roundrobin
    cookie SERVERID insert indirect nocache
    option forwardfor
    server app1 127.0.0.1:{app} cookie app1
"""

_MORE = """
frontend secure
    bind 127.0.0.1:{tls} ssl crt {dir}/ecdsa.pem alpn h2,http/1.1
    bind 127.0.0.1:{rsa} ssl crt {dir}/rsa.pem alpn h2,http/1.1
    default_backend app

frontend sticky
    bind 127.0.0.1:{tracked}
    default_backend tracked

backend tracked
    balance roundrobin
    stick-table type string len 32 size 4m expire 30m
    stick on req.cook(session)
    option forwardfor
    server app1 127.0.0.1:{app}

listen raw
    mode tcp
    option tcplog
    bind 127.0.0.1:{raw}
    server app1 127.0.0.1:{app}
"""

EVERYTHING = _HEAD.format(maxconn=4000) + _WEB + _MORE
IDLE = _HEAD.format(maxconn=6000) + _WEB


def acls(count: int) -> str:
    """That many ACLs on the path, each asked by a use_backend, none of which holds."""
    lines = "".join(f"    acl a{n} path_beg /nothing/{n}/\n    use_backend other if a{n}\n" for n in range(count))
    web = _WEB.replace("    default_backend", lines + "    default_backend")
    return _HEAD.format(maxconn=4000) + web + "\nbackend other\n    server app1 127.0.0.1:{app}\n"


def servers(count: int, balance: str) -> str:
    """A backend of that many servers, which are all the same application."""
    lines = "".join(f"    server app{n} 127.0.0.1:{{app}} cookie app{n}\n" for n in range(count))
    head, _, _ = _WEB.rpartition("    server")
    return _HEAD.format(maxconn=4000) + head.replace("roundrobin", balance) + lines


_NGINX = """
worker_processes 1;
daemon off;
error_log stderr crit;
pid {dir}/{me}.pid;
events {{ worker_connections 16384; }}
http {{
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/{me}-body;
    proxy_temp_path {dir}/{me}-proxy;
    fastcgi_temp_path {dir}/{me}-fastcgi;
    uwsgi_temp_path {dir}/{me}-uwsgi;
    scgi_temp_path {dir}/{me}-scgi;
"""

APP = (
    _NGINX
    + """
    access_log off;
    server {{
        listen 127.0.0.1:{app} backlog=4096;
        location /bulk {{ alias {dir}/bulk; default_type application/octet-stream; }}
        location / {{ return 200 "hello, world\\n"; default_type text/plain; }}
    }}
}}
"""
)

# Without a temporary file a body waits in memory only: the best nginx can do here, and a common setting.
_PROXY = (
    _NGINX
    + """
    log_format httplog '$remote_addr:$remote_port [$time_local] web app/app1 $request_time/$upstream_connect_time/'
                       '$upstream_response_time $status $bytes_sent $connection_requests "$request"';
    access_log syslog:server=127.0.0.1:{syslog},nohostname httplog;
    client_header_timeout 10s;
    keepalive_timeout 60s;
    http2_max_requests 1000000000;
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_connect_timeout 5s;
    proxy_read_timeout 30s;
    proxy_send_timeout 30s;
    proxy_max_temp_file_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header Cookie $passed;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    add_header Set-Cookie $told;
    add_header Cache-Control $cacheable;
    map $cookie_SERVERID $told {{ "" "SERVERID=app1; path=/"; default ""; }}
    map $cookie_SERVERID $cacheable {{ "" "private"; default ""; }}
    map $http_cookie $passed {{ default $http_cookie; "~^(?<front>.*?)(?:; )?SERVERID=[^;]*(?<end>.*)$" $front$end; }}
    upstream app {{ server 127.0.0.1:{app}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{web} backlog=4096;
        location / {{ proxy_pass http://app; }}
    }}
    server {{
        listen 127.0.0.1:{tls} ssl http2 backlog=4096;
        ssl_certificate {dir}/ecdsa.pem;
        ssl_certificate_key {dir}/ecdsa.pem;
        location / {{ proxy_pass http://app; }}
    }}
    server {{
        listen 127.0.0.1:{rsa} ssl http2 backlog=4096;
        ssl_certificate {dir}/rsa.pem;
        ssl_certificate_key {dir}/rsa.pem;
        location / {{ proxy_pass http://app; }}
    }}
}}
"""
)

_PROXY_TCP = """
stream {{
    log_format tcplog '$remote_addr:$remote_port [$time_local] raw raw/app1 $session_time $bytes_sent';
    access_log syslog:server=127.0.0.1:{syslog},nohostname tcplog;
    proxy_connect_timeout 5s;
    proxy_timeout 30s;
    server {{ listen 127.0.0.1:{raw} backlog=4096; proxy_pass 127.0.0.1:{app}; }}
}}
"""


def nginx(stream: Path) -> str:
    """nginx as a proxy; for TCP too if its module is there."""
    return f"load_module {stream};" + _PROXY + _PROXY_TCP if stream.exists() else _PROXY
