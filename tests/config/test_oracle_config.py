"""Configuration texts and command lines for which trilb must give HAProxy's verdict (`-c`, `-dW`, `-cc` exit codes).

A row belongs here only if HAProxy 2.6 (the oracle) and 3.5 (the manual) agree and stricter would not be better.
`ok` passes even with `-dW`, `warn` passes but not with `-dW`, `bad` exits 1, `void` has no listener and exits 2.
With TRILB_DUEL_SUBJECT=haproxy the subject is HAProxy too.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.duel import require_haproxy
from tests.support.program import HAPROXY
from tests.support.rows import SELF_CHECK

T = "timeout connect 1s\ntimeout client 1s\ntimeout server 1s\n"
D = "defaults\nmode http\n" + T
PARTS = {
    "<T>": T,
    "<D>": D,
    "<N>": D.replace("defaults", "defaults d"),
    "<F>": D + "frontend f\nbind :8080\n",
    "<L>": D + "listen l\nbind :8080\n",
}
L = PARTS["<L>"]
ENVIRONMENT = {
    "X_WORD": "va",
    "X_EMPTY": "",
    "X_ONE": "1",
    "X_ZERO": "0",
    "X_PORT": "8081",
    "X_HOST": "127.0.0.1",
    "X_PAIR": "name x",
    "X_ODD": "a\"b'c\\d#e $X_WORD",
    "X_RULE": "if TRUE",
}
FILES = {
    "ok.cfg": L,
    "warn.cfg": "listen w\nbind :8082\n",
    "bad.cfg": "listen b\nbogus\n",
    "lone.cfg": "bind :80\n",
    "d/10-b.cfg": "listen l\nbind :8080\n" + T,
    "d/9-a.cfg": "backend z\n",
    "d/.hidden.cfg": "bogus\n",
    "d/note.txt": "bogus\n",
    "order/1.cfg": "defaults x\n" + T,
    "order/2.cfg": "listen l from x\nbind :8080\n",
    "wrong/1.cfg": "listen l from x\nbind :8080\n",
    "wrong/2.cfg": "defaults x\n" + T,
    "none/readme": "",
    "crlf.http": "HTTP/1.0 503 Down\r\nContent-Length: 2\r\n\r\nab",
    "lf.http": "HTTP/1.0 503 Down\n\nab",
    "other.http": "HTTP/1.1 404 X\r\nContent-Length: 1\r\n\r\nx",
    "empty.http": "",
    "short.http": "HTTP/1.0 503 Down\r\nContent-Length: 5\r\n\r\nab",
    "chunked.http": "HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "garbage.http": "hello",
    "big.http": "HTTP/1.0 503 X\r\n\r\n" + "x" * 20000,
    "list.txt": "# comment\n/a\n\n/b\n",
}
FLAGS: dict[str, tuple[tuple[list[str], int], ...]] = {
    "ok": ((["-dW"], 0),),
    "warn": (([], 0), (["-dW"], 1)),
    "bad": (([], 1),),
    "void": (([], 2),),
}

# A line is a configuration: ` ; ` ends a line of it, PARTS are put in, and it takes the place of the `@` of the last
# `== VERDICT TEXT` line. `## GROUP` starts a group.
TABLE = r"""
## names
== ok resolvers r ; @ ; <L>
nameserver n 127.0.0.1:53
nameserver n 127.0.0.1:53 ; nameserver m tcp@127.0.0.1:53
nameserver n localhost:53
nameserver n [::1]:53
nameserver n 127.0.0.1:53 ; accepted_payload_size 100
nameserver n 127.0.0.1:53 ; accepted_payload_size 65535
nameserver n 127.0.0.1:53 ; resolve_retries 7
nameserver n 127.0.0.1:53 ; hold valid 10s ; hold nx 1 ; hold refused 1m
nameserver n 127.0.0.1:53 ; hold timeout 0 ; hold other 5ms ; hold obsolete 30s
nameserver n 127.0.0.1:53 ; timeout resolve 1s ; timeout retry 500
== warn resolvers r ; @ ; <L>
hold nx 1s
== bad resolvers r ; @ ; <L>
nameserver
nameserver n
nameserver n 127.0.0.1
nameserver n 127.0.0.1:53-54
nameserver n 127.0.0.1:53 ; nameserver n 127.0.0.1:54
hold
hold valid
hold bogus 1s
hold valid 1x
timeout
timeout resolve
timeout bogus 1s
timeout retry 1y
accepted_payload_size
accepted_payload_size 11
accepted_payload_size 65536
resolve_retries
bogus
nameserver n 127.0.0.1:53 ; resolvers r ; nameserver n 127.0.0.1:53
== bad <L> ; @
resolvers
resolvers r/
== ok resolvers r ; nameserver n 127.0.0.1:53 ; <L> ; @
server s x.invalid:80 resolvers r init-addr last,none
server s x.invalid:80 resolvers r init-addr none,libc
server s x.invalid:80 resolvers r init-addr 127.0.0.1 resolve-prefer ipv4 resolve-net 10.0.0.0/8,::1/128,1.2.3.4
server s x.invalid:80 resolvers r init-addr none resolve-opts allow-dup-ip,ignore-weight,prevent-dup-ip
server s 127.0.0.1:80 resolvers r
server s _h._tcp.x resolvers r
server s _h._tcp.x:80 resolvers r init-addr none
server-template s 3 _h._tcp.x resolvers r
server-template s 2-4 x.invalid:80 resolvers r init-addr none check inter 1s
server-template s 2-4 127.0.0.1:80
server-template s 2 127.0.0.1:80 id 7
default-server resolvers r init-addr none ; server a x.invalid:80 ; server-template s 1-2 x.invalid
http-request do-resolve(txn.a,r) hdr(host)
http-request do-resolve(txn.a,r,ipv6) hdr(host),host_only if TRUE
tcp-request content do-resolve(sess.a,r,ipv4) str(x) if TRUE
== warn resolvers r ; nameserver n 127.0.0.1:53 ; <L> ; @
server s x.invalid:80 resolvers r
server s x.invalid:80 resolvers r init-addr last,libc,none
== bad resolvers r ; nameserver n 127.0.0.1:53 ; <L> ; @
server s x.invalid:80 resolvers r init-addr last,libc
server s x.invalid:80 resolvers r init-addr last
server s x.invalid:80 resolvers r init-addr bogus
server s x.invalid:80 resolvers r init-addr none,1.2.3.4,5.6.7.8
server s x.invalid:80 resolvers nope init-addr none
server s x.invalid:80 init-addr none resolvers
server s x.invalid:80 resolvers r init-addr none resolve-prefer ipv5
server s x.invalid:80 resolvers r init-addr none resolve-prefer
server s x.invalid:80 resolvers r init-addr none resolve-net
server s x.invalid:80 resolvers r init-addr none resolve-net bogus
server s x.invalid:80 resolvers r init-addr none resolve-net 1.2.3.4/33
server s x.invalid:80 resolvers r init-addr none resolve-opts bogus
server s _h._tcp.x:80
server s _h._tcp.x:80 resolvers r init-addr libc
server-template
server-template s
server-template s 3
server-template s 0 127.0.0.1:80
server-template s x 127.0.0.1:80
server-template s 3-1 127.0.0.1:80
server-template s 3-x 127.0.0.1:80
server-template s/ 2 127.0.0.1:80
server s1 127.0.0.1:80 ; server-template s 2 127.0.0.1:80
http-request do-resolve(txn.a,nope) hdr(host)
http-request do-resolve(txn.a,r,ipv5) hdr(host)
http-request do-resolve(txn.a,r)
http-request do-resolve(txn.a) hdr(host)
http-request do-resolve hdr(host)
http-response do-resolve(txn.a,r) hdr(host)
## lexer
== ok <L> @
"server" a 127.0.0.1
ser"v"er a 127.0.0.1
'server' "a" 127.0.0.1
\x73erver a 127.0.0.1
server a 127.0.0.1#glued comment
server a 127.0.0.1 # it's a "comment
http-request set-header X a\ b
http-request set-header X "a b"c
http-request set-header X a' 'b" "c
http-request set-header X \"\'\\\#\n\r\t\x41
http-request set-header X "\"\'\\#\#\$\x41"
http-request set-header X 'it'\''s \x'
http-request set-header X 'a\'
http-request set-header X a\qb
option forwardfor "" ignored
http-request set-header X "$X_WORD-b"
http-request set-header X "${X_WORD}b"
http-request set-header X "${X_UNSET}b"
http-request set-header X "$X_ODD"
http-request set-header X "${.FILE}:${.LINE}:${.SECTION}"
http-request set-header X $X_WORD
http-request set-header X '${'
http-request deny "${X_RULE[*]}"
server "$X_WORD" 127.0.0.1
server s"${.LINE}" 127.0.0.1
== ok @
"listen" l ; <T> ; bind :8080
== ok global#glued ; @ ; <L>
quiet#too
== bad <L> @
server a "127.0.0.1
server a '127.0.0.1
server a 127.0.0.1\""
server a 127.0.0.1\x4
server a "127.0.0.1\xZZ"
description "${X_WORD"
description "${X_WORD}
description "${1X}"
description "$"
description "a$"
description "${}"
description "${.NOPE}"
description "${X_WORD[1]}"
description "${X_WORD[*}"
http-request deny "$X_RULE"
bogus
Server a 127.0.0.1
bind :8081 \ ; name x
server a 127.0.0.1 \
## environ
== ok global ; @ ; <L>
setenv Y_A b ; .if streq("$Y_A",b) ; .else ; .alert x ; .endif
setenv Y_A b ; presetenv Y_A c ; .if strneq("$Y_A",b) ; .alert x ; .endif
presetenv Y_B c ; .if !defined(Y_B) ; .alert x ; .endif
setenv Y_A b ; unsetenv Y_A X_WORD ; .if defined(Y_A) || defined(X_WORD) ; .alert x ; .endif
setenv Y_A b ; resetenv ; .if defined(Y_A) ; .alert x ; .endif
== bad global ; @ ; <L>
setenv
setenv Y_A
presetenv Y_A
unsetenv
## conditions
== ok @
.if 0 ; bogus ; .endif ; <L>
.if ; bogus ; .endif ; <L>
.if 1 ; .else ; bogus ; .endif ; <L>
.if 0 ; .elif 1 ; .elif bogus( ; .else ; bogus ; .endif ; <L>
.if 0 ; .if bogus ; .else ; bogus ; .endif ; bogus ; .endif ; <L>
.if 1 # c ; .endif # c ; <L>
".if" 0 ; bogus ; .endif ; <L>
<L> ; .if 0 ; .alert x ; .warning x ; .endif
<D> ; .if 1 ; listen l ; .endif ; bind :8080
.notice x ; .notice ; .diag x ; <L>
.notice "x y" ; <L>
== warn @
.warning x ; <L>
<L> ; .if 1 ; .warning x ; .endif
== bad @ ; <L>
.alert x
.endif
.else
.elif 1
.if 1
.if 1 ; .else ; .else ; .endif
.if 1 ; .else ; .elif 1 ; .endif
.if 1 ; .endif x
.if 0 ; .else x ; .endif
.if bogus ; .endif
.if 0 ; .elif bogus ; .endif
.bogus
.notice x y
.if 0 ; "open ; .endif
.if 0 ; description \x ; .endif
.if 0 ; description "${ ; .endif
## sections
== void @
(nothing)
# c
global
backend b
<L> ; disabled
== ok @
global ; global ; <L>
global ; maxconn 100 ; nbthread 1 ; no strict-limits ; spread-checks 5 ; log 127.0.0.1 local0 ; <L>
global ; stats socket /tmp/x.sock mode 600 level admin ; stats timeout 5s ; hard-stop-after 5s ; <L>
global ; description a b ; node n-1.x_y ; set-var proc.x int(5) ; <L>
global ; no busy-polling ; no set-dumpable ; no numa-cpu-mapping ; no log ; <L>
frontend f ; bind :8080 ; timeout client 1s ; backend b ; timeout connect 1s ; timeout server 1s ; server a *
listen l ; bind :8080 ; timeout client 1s
<D> ; listen a:b.c-d_e ; bind :8080 ; backend .x ; backend 1
<L> ; disabled ; listen m ; bind :8081
== bad @
bogus ; <L>
maxconn 5 ; <L>
Global ; <L>
global x ; <L>
global ; bogus ; <L>
global ; mode http ; <L>
global ; acl a src 127.0.0.1 ; <L>
global ; maxconn ; <L>
global ; maxconn 1 2 ; <L>
global ; daemon x ; <L>
global ; no daemon ; <L>
global ; stats bogus ; <L>
global ; stats socket ; <L>
global ; stats socket /tmp/x.sock level bogus ; <L>
global ; stats timeout x ; <L>
global ; spread-checks 60 ; <L>
global ; node "a b" ; <L>
global ; set-var txn.x int(5) ; <L>
global ; log global ; <L>
global ; hard-stop-after x ; <L>
global ; zero-warning ; listen w ; bind :8080
<D> ; frontend ; bind :8080
<D> ; frontend f :8080 ; bind :8081
<D> ; listen a/b ; bind :8080
<D> ; listen a@b ; bind :8080
<D> ; listen "a b" ; bind :8080
<L> ; listen l ; bind :8081
<L> ; backend l
<D> ; backend b ; backend b ; listen l ; bind :8080
<F> ; frontend f ; bind :8081
<D> ; listen l ; id 2 ; bind :8080 ; listen m ; id 2 ; bind :8081
<L> ; id 0
<L> ; id x
## proxies
== ok <F> @
(nothing)
use_backend %[path] if TRUE
use_backend b ; backend b
default_backend a ; backend a
== ok <F> @
use_backend a if TRUE ; use_backend a unless TRUE ; use_backend b ; default_backend a ; backend a ; backend b
default_backend a ; default_backend b ; backend a ; backend b
mode tcp ; default_backend b ; backend b
disabled ; default_backend nope ; listen l ; bind :8081
id 7 ; backend b ; id 1
== warn <F> @
balance roundrobin
cookie x insert
retries 3
fullconn 5
timeout server 1s
option redispatch
stick-table type ip size 1k ; stick on src
mode tcp ; http-request deny
mode tcp ; option forwardfor
mode tcp ; log 127.0.0.1 local0 ; option httplog
option httplog
== bad <F> @
default_backend nope
use_backend nope
use_backend nope if FALSE
use_backend
default_backend
default_backend g ; frontend g ; bind :8081
default_backend b ; backend b ; mode tcp
use_backend b if TRUE ; backend b ; mode tcp
server a 127.0.0.1
backend b ; default_backend nope
mode bogus
mode
== warn <F> backend b ; @
bind :8081
timeout client 1s
maxconn 5
monitor-uri /x
capture cookie x len 1
option httplog
== warn @
<D> ; listen l ; server a 127.0.0.1 ; listen m ; bind :8080
listen l ; bind :8080
== warn @
frontend f ; bind :8080 ; timeout client 0
listen l ; bind :8080 ; timeout client 1s ; server a 127.0.0.1
backend b ; server a 127.0.0.1 ; listen l ; bind :8080 ; timeout client 1s
== bad <L> @
default_backend l
use_backend l if TRUE
use-server nope if TRUE
use-server a
## defaults
== ok <D> @
log 127.0.0.1 local0 ; option httplog ; listen l ; bind :8080
option httplog ; listen l ; bind :8080 ; log 127.0.0.1 local0
log 127.0.0.1 local0 ; listen l ; bind :8080 ; no log ; log 127.0.0.1 local1 ; option httplog
default-server inter 5s ; default-server weight 3 ; listen l ; bind :8080 ; server a 127.0.0.1
balance leastconn ; retries 2 ; cookie x insert ; maxconn 5 ; monitor-uri /m ; listen l ; bind :8080
stats enable ; errorfile 503 crlf.http ; option httpchk ; http-check expect status 200 ; listen l ; bind :8080
default_backend nope ; listen l ; bind :8080 ; default_backend b ; backend b
balance uri ; retries 3 ; fullconn 1 ; frontend f ; bind :8080
unique-id-format %ci ; unique-id-header X ; listen l ; bind :8080
== ok <N> @
listen l from d ; bind :8080
defaults e from d ; mode tcp ; frontend f from e ; bind :8080 ; default_backend b ; backend b from d
defaults e ; listen l from d ; bind :8080
defaults d ; listen l ; bind :8080 ; <T>
acl a path / ; http-request deny if a ; frontend f from d ; bind :8080
acl a path / ; frontend f from d ; bind :8080 ; acl a path /x ; http-request deny if a
http-request deny ; backend b from d ; <D> ; listen l ; bind :8080
tcp-request connection accept ; frontend f ; bind :8080
tcp-response content accept ; backend b from d ; <D> ; listen l ; bind :8080
== warn <D> @
log 127.0.0.1 local0 ; listen l ; bind :8080 ; no log ; option httplog
log 127.0.0.1 local0 ; no log ; listen l ; bind :8080 ; option httplog
log 127.0.0.1 local0 ; mode tcp ; option httplog ; listen l ; bind :8080
defaults ; listen l ; bind :8080
== bad <D> @
acl a path / ; listen l ; bind :8080
http-request deny ; listen l ; bind :8080
http-response deny ; listen l ; bind :8080
http-after-response set-header X y ; listen l ; bind :8080
tcp-request inspect-delay 1s ; listen l ; bind :8080
tcp-response inspect-delay 1s ; listen l ; bind :8080
tcp-request connection reject ; listen l ; bind :8080
use_backend x ; listen l ; bind :8080
use-server a if TRUE ; listen l ; bind :8080
redirect location / ; listen l ; bind :8080
bind :8081 ; listen l ; bind :8080
server a 127.0.0.1 ; listen l ; bind :8080
server-template s 2 127.0.0.1 ; listen l ; bind :8080
stick-table type ip size 1k ; listen l ; bind :8080
stick on src ; listen l ; bind :8080
capture request header X len 5 ; listen l ; bind :8080
declare capture request len 5 ; listen l ; bind :8080
monitor fail if TRUE ; listen l ; bind :8080
filter compression ; listen l ; bind :8080
stats admin if TRUE ; listen l ; bind :8080
id 5 ; listen l ; bind :8080
description x ; listen l ; bind :8080
force-persist if TRUE ; listen l ; bind :8080
balance bogus ; listen l ; bind :8080
default_backend nope ; listen l ; bind :8080
listen l from nope ; bind :8080
defaults e from nope ; listen l ; bind :8080
defaults e from e ; listen l ; bind :8080
frontend f from ; bind :8080
== bad <N> @
listen l from D ; bind :8080
defaults d ; mode tcp ; listen l from d ; bind :8080
defaults e ; frontend f from d ; bind :8080 ; default_backend b ; backend b from e
acl a path / ; frontend f from d ; bind :8080 ; http-request deny if a
http-request deny ; listen l from d ; bind :8080
http-request deny ; listen l ; bind :8080
http-request deny ; frontend f from d ; bind :8080 ; backend b from d
http-request deny ; defaults e from d ; frontend f from e ; bind :8080
tcp-response content accept ; frontend f from d ; bind :8080
## addresses
== ok <D> listen l ; bind @
*:80
:80
0.0.0.0:80
:::80
::1:80
[::]:80
[::1]:80 v6only
*:80 v4v6
127.0.0.1:80,127.0.0.2:81
127.0.0.1:80,:81
:8000-8010
:1-65535
localhost:80
ipv4@:80
ipv4@*:80
ipv6@::1:80
ip@:80
tcp@:80
tcp4@:80
unix@/tmp/x.sock
/tmp/x.sock mode 600
unix@x.sock
abns@x
:$X_PORT
$X_HOST:${X_PORT}
"$X_HOST:$X_PORT"
:80 "${X_PAIR[*]}"
:80 name a maxconn 5 backlog 10 nice 5 id 7 interface lo
:80 name a ; bind :81 name a
:80 accept-proxy proto h2 alpn h2,http/1.1
:80 defer-accept tfo tcp-ut 30s transparent mss 1400
== bad <D> listen l ; bind @
(nothing)
*
:
::
80
127.0.0.1
127.0.0.1:80, :81
:0
:65536
:-1
*:+5
:8010-8000
:8000-
:0-10
nosuch.invalid:80
256.1.1.1:80
1.2.3.4.5:80
[::1:80
::1]:80
ipv4@::1:80
ipv6@127.0.0.1:80
udp@:80
dgram+ip@:80
fd@
fd@x
fd@987
:$X_UNSET
:80 bogus
:80 name
:80 proto bogus
:80 id 0
:80 id 1 ; bind :81 id 1
:80 ssl
:80 ssl crt /nonexist
:80 '$X_PAIR'
/tmp/x user no-such-user
== ok <L> server a @
127.0.0.1
127.0.0.1:80
127.0.0.1:+10
127.0.0.1:-10
127.0.0.1:0
:80
*
*:80
0.0.0.0
[::1]
[::1]:80
::1:80
localhost:80
ipv4@localhost:80
unix@/tmp/x
/tmp/x
abns@x
$X_HOST:$X_PORT
nosuch.invalid:80 init-addr none
nosuch.invalid:80 init-addr 127.0.0.1
127.0.0.1:80 check inter 2s fastinter 1s downinter 5s fall 3 rise 2 weight 256 maxconn 5 maxqueue 2 minconn 1
127.0.0.1:80 cookie a backup disabled enabled slowstart 10s error-limit 5 on-marked-down shutdown-sessions
127.0.0.1:+1 check port 80
127.0.0.1:80 agent-check agent-port 99 agent-inter 1s
127.0.0.1:80 check observe layer7 on-error mark-down
127.0.0.1:80 ssl verify none sni str(x)
127.0.0.1:80 send-proxy-v2 source 127.0.0.1
127.0.0.1 id 1 ; server b 127.0.0.1
127.0.0.1 ; server b 127.0.0.1 id 1
127.0.0.1 ; server B 127.0.0.1
127.0.0.1:80 check ; server b 127.0.0.1 track a
127.0.0.1:80 agent-check agent-port 7 ; server b 127.0.0.1 track a
127.0.0.1:80 check ; server b 127.0.0.1 track a ; option httpchk ; http-check disable-on-404
== warn <L> server a @
nosuch.invalid:80 init-addr last,libc,none
== bad <L> server a @
(nothing)
127.0.0.1:65536
127.0.0.1:80-90
127.0.0.1:80,127.0.0.2:80
nosuch.invalid:80
nosuch.invalid:80 init-addr bogus
ipv4@::1:80
udp@127.0.0.1:80
fd@3
127.0.0.1 bogus
127.0.0.1 weight 257
127.0.0.1 weight -1
127.0.0.1 check
127.0.0.1:+1 check
127.0.0.1:80 check inter 0
127.0.0.1:80 check inter x
127.0.0.1:80 rise 0
127.0.0.1:80 fall 0
127.0.0.1:80 cookie
127.0.0.1:80 id 0
127.0.0.1 id 5 ; server b 127.0.0.1 id 5
127.0.0.1 ; server a 127.0.0.1
127.0.0.1:80 track l/a
127.0.0.1:80 track nope
127.0.0.1:80 track nope/a
127.0.0.1:80 check ; option httpchk ; http-check disable-on-404 ; backend other ; server b 127.0.0.1 track l/a
127.0.0.1:80 agent-check
127.0.0.1:80 observe bogus
127.0.0.1:80 on-error bogus
127.0.0.1:80 resolvers nope
127.0.0.1:80 ssl verify required
== bad <L> @
server
server a/b 127.0.0.1
server "a b" 127.0.0.1
source x
default-server bogus
== bad <L> @
default-server 127.0.0.1:80
server a nosuch.invalid:80 ; default-server init-addr none
== ok <L> @
default-server init-addr none ; server a nosuch.invalid:80
default-server
server-template s 1-3 127.0.0.1:80
== bad <L> @
server-template s 3-1 127.0.0.1:80
server-template s 0 127.0.0.1:80
server-template s x 127.0.0.1:80
## values
== ok <L> timeout queue @
5
5us
5ms
5s
5m
5h
24d
0
2147483647
== bad <L> timeout queue @
(nothing)
x
1.5s
5S
5 s
-5
+5
0x10
25d
2147483648
999999999999
== bad <L> @
timeout
timeout bogus 1s
timeout client 1s 2s
retries
maxconn
log-tag
log-format
== ok <L> stick-table type ip size @
100
1k
1K
1m
1k expire 5m store gpc0,conn_rate(10s)
== bad <L> stick-table type ip size @
(nothing)
0
x
-1
1kb
1.5k
1k expire x
1k bogus
1k store bogus
== bad <L> stick-table type ip size 1k @
store conn_rate
store gpc0(5)
peers nope
stick-table type ip size 1k
== bad <L> stick-table @
type ip
size 1k
type bogus size 1k
type
== ok <L> stick-table @
type string len 20 size 1k
type ipv6 size 1k nopurge
type integer size 1k
type binary size 1k
== ok <L> @
no option dontlognull
no option http-server-close
no option redispatch
option dontlognull ; option dontlognull
option httpclose ; option http-server-close ; no option httpclose
option forwardfor except 127.0.0.0/8 header X if-none
option httpchk ; option tcp-check
option redispatch 2
option httpchk GET /x HTTP/1.1
log 127.0.0.1 local0 ; option tcplog ; option httplog clf
hash-type consistent djb2 avalanche ; balance uri whole
balance url_param x ; balance hdr(x) ; balance random(2)
hash-balance-factor 150
balance
description a b c
stats enable ; stats uri /s ; stats auth a:b ; stats refresh 5s ; stats admin if TRUE
stats auth a ; stats realm X
stats scope . ; stats scope a ; stats refresh 100ms
stats show-legends ; stats show-node ; stats show-node a ; stats show-desc a b c ; stats show-modules
stats http-request auth realm a if TRUE ; stats http-request allow if TRUE ; stats http-request deny
cookie X insert indirect nocache httponly secure domain .x maxidle 1h maxlife 2h
compression algo gzip ; compression type text/html
retry-on all-retryable-errors
rate-limit sessions 10
== bad <L> @
option
option bogus
option dontlognull x
no option dontlognull x
option httplog bogus
option forwardfor bogus
option forwardfor except x
no option httplog
no option forwardfor
no option httpchk
no option tcp-check
no option bogus
no option
no
no no option dontlognull
no maxconn
no timeout client
no server a
no stats enable
no log global
default maxconn 5
balance bogus
balance url_param
balance hdr
balance random(0)
hash-type bogus
hash-type consistent bogus
hash-balance-factor 50
http-reuse bogus
retry-on bogus
cookie
cookie X bogus
cookie X insert rewrite
compression algo bogus
stats bogus
stats
stats refresh x
stats admin
stats admin TRUE
stats admin if nope
stats uri
stats realm
stats auth
stats scope
stats maxconn 5
stats refresh
stats http-request
stats http-request bogus
stats http-request deny x
stats http-request deny if nope
stats http-request deny ; stats auth a:b
stats realm a ; stats http-request deny
monitor-uri
rate-limit sessions x
log-format "%ci" "%cp"
option external-check ; external-check command /x
http-check bogus
tcp-check bogus
http-check expect bogus
== warn <L> @
http-check expect status 200
tcp-check connect
timeout queue 1s ; timeout queue 2s
external-check command /x
cookie X insert domain x
== bad <L> @
reqrep a b
block if TRUE
redispatch
clitimeout 5
appsession x
option forceclose
mode health
## logs
== ok <L> log @
global
127.0.0.1 local0
127.0.0.1:514 local0 info err
$X_HOST:514 local0
localhost local0
/dev/log local0
stdout format raw local0
127.0.0.1 len 2000 format rfc5424 local0 info
127.0.0.1 sample 1,3-5:10 local0
ipv4@127.0.0.1:514 local0
== bad <L> log @
(nothing)
127.0.0.1
127.0.0.1 bogus
127.0.0.1 LOCAL0
127.0.0.1 local0 bogus
127.0.0.1 local0 err bogus
global x
127.0.0.1 len 10 local0
127.0.0.1 len x local0
stdout format bogus local0
stdout local0 format raw
127.0.0.1 sample 3:2 local0
nosuch.invalid local0
127.0.0.1:x local0
## rules
== ok <L> acl a @
src 127.0.0.1
src 127.0.0.0/255.0.0.0 ::1/64 localhost
path -i -m beg /x
path -- -i
path -f list.txt
path_beg /a /b
path_reg ^/(a|b)$
dst_port 80:90 gt 5
dst_port 80
dst_port :80 90:
hdr(host),lower x
req.hdr(x) -m found
always_true
var(txn.x) -m str y
nbsrv(l) lt 2
path / ; acl a path /x ; http-request deny if a
path / ; http-request deny if a !a or { path /y } || ! TRUE
method GET
== ok <L> @
acl TRUE src 127.0.0.1
acl a:b.c-d_e src 127.0.0.1
== warn <L> acl a @
path
src
req.hdr(x)
== bad <L> acl a @
(nothing)
bogus
src x
src 127.0.0.1/33
path -m bogus /x
path -m
path -q x
path -f /nonexist
path_reg ^/(
dst_port x
dst_port 90:80
hdr(host x
hdr(host)x y
hdr(host),bogus x
nbsrv(nope) lt 2
var(txn.x) y
var(x) -m str y
var(bogus.x) -m str y
path -m bin 4
src_get_gpc0 gt 0
sc0_get_gpc0(nope) gt 0
http_auth(nope)
{ src 127.0.0.1 }
== bad <L> @
acl
acl a/b src 127.0.0.1
acl !a src 127.0.0.1
acl or src 127.0.0.1
== ok <L> http-request deny @
(nothing)
if TRUE
unless TRUE
if TRUE FALSE or TRUE || FALSE
if !TRUE
if ! TRUE
if { src 127.0.0.1 } !{ path /x } or ! { path /y }
if { "path" "/x y" }
if HTTP_1.1 METH_GET LOCALHOST
deny_status 403
deny_status 429 if { path /x }
== bad <L> http-request deny @
if nope
if true
if (TRUE)
if TRUE and TRUE
if {src 127.0.0.1 }
if { src 127.0.0.1
if { src 127.0.0.1}
if { }
if TRUE if TRUE
when TRUE
TRUE
deny_status 999
if a ; acl a path /
if a ; backend b ; acl a path /
== ok <L> @
http-request set-header X %[src,ipmask(24)]
http-request set-header X "%ci %[path,lower] 100%%"
http-request set-path '%[path,regsub("(foo|bar)",blah,g)]'
http-request set-path %[path,regsub(\"(foo|bar)\",blah,g)]
http-request set-var(txn.x) src
http-request set-var-fmt(txn.x) %ci
http-request return status 200 content-type text/plain string hi hdr X y if TRUE
http-request redirect code 301 location /x if TRUE
redirect prefix / drop-query append-slash if TRUE
http-request replace-path (.*) /\1
http-request auth realm x unless TRUE
http-request capture src len 10
http-request track-sc0 src ; stick-table type ip size 1k store gpc0
stick on src ; stick-table type ip size 1k
stick on src table l ; stick-table type ip size 1k
tcp-request inspect-delay 5s ; tcp-request content accept if WAIT_END
tcp-request content reject if { path /x }
http-response set-header X y ; http-after-response set-header X y
http-response deny if { res.hdr(x) -m found }
monitor-uri /m ; monitor fail if { nbsrv(l) lt 1 }
capture request header X len 10 ; capture response header X len 10 ; capture cookie X len 5
use-server a if TRUE ; server a 127.0.0.1
unique-id-format %ci ; unique-id-header X
== warn <L> server a 127.0.0.1 ; @
http-request deny ; tcp-request content accept
tcp-request content accept ; tcp-request connection accept
tcp-request session accept ; tcp-request connection accept
redirect location / if FALSE ; http-request deny
use-server a if TRUE ; http-request deny
http-response deny if { path /x }
http-request deny if { res.hdr(x) -m found }
tcp-request connection reject if { path /x }
== warn <F> @
use_backend b if TRUE ; http-request deny ; backend b
use_backend b if TRUE ; redirect location / ; backend b
== bad <L> @
http-request
http-request bogus
http-response bogus
http-after-response bogus
tcp-request bogus
tcp-request content bogus
tcp-request connection bogus
tcp-response content bogus
http-request set-header X
http-request set-header X y z
http-request set-header X "%[bogus]"
http-request set-header X "%[src"
http-request set-header X %bogus
http-request set-header X 100%
http-request set-header X "%[path, lower]"
http-request set-header X %[path, lower]
http-request set-header X "%[res.hdr(x)]"
http-response set-header X "%[path]"
http-request set-var(x) src
http-request set-var(bogus.x) src
http-request set-var txn.x src
http-request set-var(txn.x)
http-request return status 999
http-request return string hi
http-request replace-path ( /
http-request replace-header X
http-request track-sc0 src
http-request track-sc0 src table nope
http-request use-service nope
redirect bogus
redirect location
redirect location / code 999
stick on src
stick on src table nope
stick bogus
stick on res.hdr(x) ; stick-table type string size 1k
tcp-request inspect-delay
tcp-request inspect-delay x
capture request header X
monitor fail if nope
monitor bogus
use_backend
## errorfiles
== ok <L> errorfile 503 @
crlf.http
lf.http
other.http
empty.http
/dev/null
== bad <L> errorfile 503 @
(nothing)
/nonexist
short.http
chunked.http
garbage.http
big.http
$X_WORD
== bad <L> @
errorfile 999 crlf.http
errorfile x crlf.http
errorfiles nope
errorloc303 600 /x
== ok http-errors e ; errorfile 503 crlf.http ; @
<L> ; errorfiles e
<L> ; errorfiles e 503
== warn http-errors e ; errorfile 503 crlf.http ; @
<L> ; errorfiles e 503 404
== bad http-errors e ; @ ; <L>
bogus
http-errors e
== ok <L> @
http-error status 503 content-type text/plain string "x"
http-error status 503 errorfile crlf.http
errorloc 503 http://x/
== bad <L> @
http-error bogus
http-error status 999
http-error status 503 string x
## others
== ok userlist u ; @
user a password $5$abc$KplBuxK ; <L>
user a insecure-password b groups g,h ; group g ; group h ; <L>
group g users a,b ; user a insecure-password x ; user b insecure-password y groups g ; <L>
<L> ; http-request auth unless { http_auth(u) }
== warn userlist u ; @ ; <L>
user a insecure-password b ; user a insecure-password c
group g ; group g
userlist u
== bad userlist u ; @
user ; <L>
group ; <L>
bogus ; <L>
user a bogus ; <L>
group g bogus ; <L>
user a insecure-password b groups nope ; <L>
group g users nope ; <L>
<L> ; acl a http_auth_group(u) nope
== bad @ ; <L>
userlist
userlist a/b
peers
== ok peers p ; @
peer A 127.0.0.1:1 ; peer B 127.0.0.1:2 ; <L> ; stick-table type ip size 1k peers p
bind 127.0.0.1:1 ; server A ; server B 127.0.0.1:2 ; <L> ; stick-table type ip size 1k peers p
peer A 127.0.0.1:1 ; table t type ip size 1k ; <L> ; http-request track-sc0 src table p/t
peer A 127.0.0.1:1 ; disabled ; <L> ; stick-table type ip size 1k peers p
== ok <L> stick-table type ip size 1k peers p ; @
peers p ; peer A 127.0.0.1:1
== warn peers p ; @
peer B 127.0.0.1:1 ; <L> ; stick-table type ip size 1k peers p
== bad peers p ; @ ; <L>
bogus
peer A 127.0.0.1
peer A 127.0.0.1:0
peer A 127.0.0.1:1 ; peer A 127.0.0.1:2
peer a/b 127.0.0.1:1
bind 127.0.0.1:1 ; bind 127.0.0.1:2 ; server A
table t type ip ; peer A 127.0.0.1:1
peer A 127.0.0.1:1 ; peers p ; peer A 127.0.0.1:2
== ok resolvers r ; nameserver n 127.0.0.1:53 ; @
<L> ; server s x.invalid:80 resolvers r init-addr none
== bad resolvers r ; @ ; <L>
nameserver n 127.0.0.1
bogus
timeout bogus 1s
"""

# Exit code and expressions.
EXPRESSIONS = r"""
== 0
1
2
-1
0x10
!0
!!1
1 && 1
0 || 1
0||1
1 || 0 && 0
0 || 0 || 1
1 && 1 && 0 || 1
( 1 )
1 && (0 || 1)
!(0)
"1"
"$X_ONE"
defined(X_WORD)
defined(X_EMPTY)
!defined(X_UNSET)
streq(a,a)
streq(,)
streq("$X_WORD",va)
streq("a b",a b)
strneq(a,b)
!streq(a,b)&&!0
feature(OPENSSL)
feature(OPENSSL) && !feature(NOPE)
version_atleast(1.8)
version_atleast(2.0-dev3)
version_before(99.0)
version_atleast(2.4) && (version_before(2.5) || version_atleast(2.6))
== 1
0
00
!1
! 1
1&&0
1 && 0
(1 || 0) && 0
'0'
"$X_ZERO"
"$X_EMPTY"
"$X_UNSET"
"1 && 0"
defined(X_UNSET)
defined( X_WORD)
defined(X_WORD )
streq(a,b)
streq(a, a)
streq($X_WORD,va)
feature(openssl)
feature(NOPE)
version_before(1.8)
version_atleast(99.0)
== 2
x
1x
1 1
1 & 1
1 | 1
1 and 1
1 &&
&& 1
1 || bogus
0 && bogus
!
()
(1
1)
foo(1)
foo(
streq(a)
streq()
streq(a,b
streq(a,b,c)
streq(a,a) x
defined(A
$X_ONE
"$X_WORD"
1 # no comment here
"unclosed
'unclosed
"""

# Exit code and command lines, run beside FILES.
COMMANDS = """
== 0
-c -f ok.cfg
-c -V -f ok.cfg
-c -q -f ok.cfg
-f ok.cfg -c
-c -f ok.cfg -f warn.cfg
-c -f ok.cfg -- warn.cfg
-c -- ok.cfg warn.cfg
-c -f warn.cfg
-c -q -f warn.cfg
-c -f d
-c -f d/
-c -dW -f order
-c -C d -f 10-b.cfg
-c -f ok.cfg -L foo
-c -D -f ok.cfg
-c -W -f ok.cfg
-c -Ws -f ok.cfg
-c -db -f ok.cfg
-c -d -f ok.cfg
-c -dM -dI -dW -f ok.cfg
-c -dS -dG -dR -dV -dr -de -dp -f ok.cfg
-c -n 100 -N 10 -m 100 -p x.pid -f ok.cfg
-c -f ok.cfg -sf
-c -f ok.cfg -sf 999999 999998
-c -f ok.cfg -st 999999
-c -f ok.cfg -x /nonexist
-v
-vv
-cc 1 -f nonexist
-cc 0 -cc 1
== 1
-c
-c -f
-c -f bad.cfg
-c -q -f bad.cfg
-c -dW -f warn.cfg
-c -f nonexist
-c -f ok.cfg -f nonexist
-c -f ok.cfg -f bad.cfg
-c -f bad.cfg -f ok.cfg
-c -f ok.cfg -f lone.cfg
-c -f ok.cfg -f ok.cfg
-c -f wrong
-c -f none
-c --
-c ok.cfg
-c -f ok.cfg warn.cfg
-c -C nonexist -f ok.cfg
-c -C d -f ok.cfg
-c -f -
-c -f ok.cfg -z
-c -f ok.cfg --help
-h
-c -f ok.cfg -sf x
-c -f ok.cfg -n
-c -f ok.cfg -L
-cc
-cc 1 x
-c -cc 0
"""


@dataclass(frozen=True)
class Row:
    """A configuration text and what must become of it."""

    verdict: str
    text: str
    name: str
    group: str = ""

    def __str__(self) -> str:
        """Name the row in the test id."""
        return f"{self.verdict} {self.name}"[:90]


def table_rows() -> Iterator[Row]:
    """The rows of TABLE."""
    group = verdict = around = ""
    for line in TABLE.strip().splitlines():
        if line.startswith("## "):
            group = line.removeprefix("## ")
        elif line.startswith("== "):
            _, verdict, around = line.split(" ", 2)
        else:
            name = around.replace("@", "" if line == "(nothing)" else line, 1)
            text = name.replace(" ; ", "\n") + "\n"
            for part, value in PARTS.items():
                text = text.replace(part, value)
            yield Row(verdict, text, name, group)


def blocks(table: str) -> Iterator[tuple[int, str]]:
    """Each line of a table with the exit code of its `== CODE` line."""
    code = 0
    for line in table.strip().splitlines():
        if line.startswith("== "):
            code = int(line.removeprefix("== "))
        else:
            yield code, line


ODD = [
    Row("ok", L + "  \t server\ta\t \t127.0.0.1\n", "blanks and tabs"),
    Row("ok", L + "\t.if defined(X_WORD)\n\tserver a 127.0.0.1\n\t.endif\n", "indented directive"),
    Row("ok", "\n \t\n# c\n  # c\n\n" + L, "empty lines and comments"),
    Row("ok", L.replace("\n", "\r\n"), "CR LF"),
    Row("ok", L + "description " + "x " * 62 + "\n", "63 words"),
    Row("bad", L + "description " + "x " * 63 + "\n", "64 words"),
    Row("bad", ".if 0\ndescription " + "x " * 70 + "\n.endif\n" + L, "71 words in a skipped block"),
    Row("ok", L + "description " + "x" * 4000 + "\n", "4000 characters"),
    Row("bad", L + "bind /tmp/" + "x" * 120 + "\n", "long socket path"),
    Row("ok", ".if 1\n" * 20 + ".endif\n" * 20 + L, "20 levels of .if"),
    Row("bad", L + "description x", "no LF at the end"),
    Row("bad", L + "description a\0b\n", "NUL"),
    Row("bad", "\ufeff" + L, "byte order mark"),
]
ROWS = [*table_rows(), *ODD]
SHOWN = [row for row in ROWS if row.verdict == "bad" and row.group in ("lexer", "conditions")]
"""Rows whose message shows the place of the error."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with FILES."""
    path = tmp_path_factory.mktemp("oracle")
    for name, text in FILES.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(text.encode())
    return path


@pytest.fixture(autouse=True)
def _surroundings(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in `place` with ENVIRONMENT; what a configuration does to the environment is undone."""
    monkeypatch.chdir(place)
    before = dict(os.environ)
    os.environ.pop("X_UNSET", None)
    os.environ.update(ENVIRONMENT)
    yield
    os.environ.clear()
    os.environ.update(before)


# What trilb does otherwise, each with its reason; an entry that starts to agree fails, so the list can only shrink.
KNOWN = {
    'bad <L> description "${.NOPE}"': "pseudo variables .FILE .LINE .SECTION are not there, and read as unset",
}


def oracle(argv: list[str]) -> tuple[int, str]:
    """HAProxy's exit code and stderr."""
    require_haproxy()
    done = subprocess.run([str(HAPROXY), *argv], capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr.decode("latin-1")


def subject(argv: list[str]) -> int:
    """trilb's exit code, in this process."""
    if SELF_CHECK:
        return oracle(argv)[0]
    from trilb.cli import main

    try:
        return main(argv)
    except SystemExit as leaving:
        return int(leaving.code or 0)


def check(place: Path, row: Row, flags: list[str]) -> list[str]:
    """Write the row's text and return the command line that checks it."""
    (place / "row.cfg").write_bytes(row.text.encode())
    return ["-c", "-L", "A", *flags, "-f", "row.cfg"]


def shown(stderr: str) -> tuple[str, list[str]]:
    """The place of the first alert, and the line and caret under it if shown."""
    match = re.search(r"\[ALERT\] .* : config : (?:parsing )?(\[row\.cfg:\d+\]) ?:.*\n((?:  .*\n *\^\n)?)", stderr)
    return (match[1], match[2].splitlines()) if match else ("", [])


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_haproxy_gives_the_verdict(row: Row, place: Path) -> None:
    """The table itself is right."""
    got = [oracle(check(place, row, flags))[0] for flags, _ in FLAGS[row.verdict]]
    assert got == [code for _, code in FLAGS[row.verdict]]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_trilb_gives_the_verdict(row: Row, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """trilb accepts, warns about or refuses the text as HAProxy does."""
    got = [subject(check(place, row, flags)) for flags, _ in FLAGS[row.verdict]]
    if str(row) in KNOWN and not SELF_CHECK:
        assert got != [code for _, code in FLAGS[row.verdict]], "agrees now: take it out of KNOWN"
        return
    said = capfd.readouterr().err
    if "not served by trilb yet" in said and got != [code for _, code in FLAGS[row.verdict]]:
        # The arguments of a keyword are read when it is served; until then a file that has it is told so.
        assert row.verdict in ("bad", "warn")
        assert set(got) <= {0, 1}
        return
    assert got == [code for _, code in FLAGS[row.verdict]], said


@pytest.mark.parametrize("row", SHOWN, ids=str)
def test_errors_are_shown_at_the_same_place(row: Row, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """File, line and caret are HAProxy's; the words may differ."""
    _, expected = oracle(argv := check(place, row, []))
    capfd.readouterr()
    subject(argv)
    got = shown(expected if SELF_CHECK else capfd.readouterr().err)
    if "${" in row.text and not SELF_CHECK:
        # A caret somewhere inside the braces is as good.
        assert str(row) in KNOWN or got[0] == shown(expected)[0]
        return
    assert got == shown(expected)


@pytest.mark.parametrize(("code", "expression"), [(1, ""), (0, " 1"), *blocks(EXPRESSIONS)])
def test_condition_exit_codes(code: int, expression: str) -> None:
    """`-cc EXPRESSION`: 0 true, 1 false, 2 error."""
    assert oracle(["-cc", expression])[0] == code
    if "OPENSSL" in expression and not SELF_CHECK:
        # TLS is not served yet, and a file that asks is told so.
        return
    assert subject(["-cc", expression]) == code


@pytest.mark.parametrize(("code", "command"), [(1, ""), *blocks(COMMANDS)])
def test_command_exit_codes(code: int, command: str) -> None:
    """Options and files on the command line."""
    argv = shlex.split(command)
    assert oracle(argv)[0] == code
    assert subject(argv) == code
