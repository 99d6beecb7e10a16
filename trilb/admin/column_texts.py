"""The columns of the statistics: what HAProxy calls them, what kind of value each is, and what it means.

A line is: name, rows that have it (Listener, Frontend, Backend, Server), tags (origin, nature, scope; management.txt,
section 9.2), type, description. Where a kind of row has other tags, they follow after a comma. Descriptions are what
`show stat typed desc` and the Prometheus exporter say, so they are HAProxy's own words.
"""

from __future__ import annotations

STATIC = """
pxname LFBS KNS str Proxy name
svname LFBS KNS str Server name
qcur BS MGP u32 Number of current queued connections
qmax BS MMP u32 Highest value of queued connections encountered since process started
scur LFBS MGP u32 Number of current sessions on the frontend, backend or server
smax LFBS MMP u32 Highest value of current sessions encountered since process started
slim LFBS CLP u32 Frontend/listener/server's maxconn, backend's fullconn
stot LFBS MCP u64 Total number of sessions since process started
bin LFBS MCP u64 Total number of request bytes since process started
bout LFBS MCP u64 Total number of response bytes since process started
dreq LFB MCP u64 Total number of denied requests since process started
dresp LFBS MCP u64 Total number of denied responses since process started
ereq LF MCP u64 Total number of invalid requests since process started
econ BS MCP u64 Total number of failed connections to server since the worker process started
eresp BS MCP u64 Total number of invalid responses since the worker process started
wretr BS MCP u64 Total number of server connection retries since the worker process started
wredis BS MCP u64 Total number of server redispatches due to connection failures since the worker process started
status LFBS SGP str Frontend/listen status: OPEN/WAITING/FULL/STOP; backend: UP/DOWN; server: last check status
weight BS MaP u32 Server's effective weight, or sum of active servers' effective weights for a backend
act BS SGP,B=MGP u32 Total number of active UP servers with a non-zero weight
bck BS SGP,B=MGP u32 Total number of backup UP servers with a non-zero weight
chkfail S MCP u64 Total number of failed individual health checks per server/backend, since the worker process
    started
chkdown BS MCP u64 Total number of failed checks causing UP to DOWN server transitions, per server/backend, since
    the worker process started
lastchg BS MAP u32 How long ago the last server state changed, in seconds
downtime BS MCP u32 Total time spent in DOWN state, for server or backend
qlimit S CGS u32 Limit on the number of connections in queue, for servers only (maxqueue argument)
pid LFBS KGP u32 Relative worker process number (1)
iid LFBS KGS u32 Frontend or Backend numeric identifier ('id' setting)
sid LFBS KGS u32 Server numeric identifier ('id' setting)
throttle S MaP u32 Throttling ratio applied to a server's maxconn and weight during the slowstart period (0 to 100%)
lbtot BS MCP u64 Total number of requests routed by load balancing since the worker process started (ignores queue
    pop and stickiness)
tracked S CNS str Name of the other server this server tracks for its state
type LFBS CGS u32 Type of the object (Listener, Frontend, Backend, Server)
rate FBS MRP,B=MGP u32 Total number of sessions processed by this object over the last second (sessions for
    listeners/frontends, requests for backends/servers)
rate_lim F CLP u32 Limit on the number of sessions accepted in a second (frontend only, 'rate-limit sessions'
    setting)
rate_max FBS MMP,B=MGP u32 Highest value of sessions per second observed since the worker process started
check_status S MOP str Status report of the server's latest health check, prefixed with '*' if a check is currently
    in progress
check_code S MOP u32 HTTP/SMTP/LDAP status code reported by the latest server health check
check_duration S MDP u64 Total duration of the latest server health check, in milliseconds
hrsp_1xx FBS MCP u64 Total number of HTTP responses with status 100-199 returned by this object since the worker
    process started
hrsp_2xx FBS MCP u64 Total number of HTTP responses with status 200-299 returned by this object since the worker
    process started
hrsp_3xx FBS MCP u64 Total number of HTTP responses with status 300-399 returned by this object since the worker
    process started
hrsp_4xx FBS MCP u64 Total number of HTTP responses with status 400-499 returned by this object since the worker
    process started
hrsp_5xx FBS MCP u64 Total number of HTTP responses with status 500-599 returned by this object since the worker
    process started
hrsp_other FBS MCP u64 Total number of HTTP responses with status <100, >599 returned by this object since the
    worker process started (error -1 included)
hanafail S MCP u64 Total number of failed checks caused by an 'on-error' directive after an 'observe' condition
    matched
req_rate F MRP u32 Number of HTTP requests processed over the last second on this object
req_rate_max F MMP u32 Highest value of http requests observed since the worker process started
req_tot FBS MCP u64 Total number of HTTP requests processed by this object since the worker process started
cli_abrt BS MCP u64 Total number of requests or connections aborted by the client since the worker process started
srv_abrt BS MCP u64 Total number of requests or connections aborted by the server since the worker process started
comp_in FB MCP u64 Total number of bytes submitted to the HTTP compressor for this object since the worker process
    started
comp_out FB MCP u64 Total number of bytes emitted by the HTTP compressor for this object since the worker process
    started
comp_byp FB MCP u64 Total number of bytes that bypassed HTTP compression for this object since the worker process
    started (CPU/memory/bandwidth limitation)
comp_rsp FB MCP u64 Total number of HTTP responses that were compressed for this object since the worker process
    started
lastsess BS MAP s32 How long ago some traffic was seen on this object on this worker process, in seconds
last_chk S MOP str Short description of the latest health check report for this server (see also check_desc)
last_agt S MOP str Short description of the latest agent check report for this server (see also agent_desc)
qtime BS MaP u32 Time spent in the queue, in milliseconds, averaged over the 1024 last requests (backend/server)
ctime BS MaP u32 Time spent waiting for a connection to complete, in milliseconds, averaged over the 1024 last
    requests (backend/server)
rtime BS MaP u32 Time spent waiting for a server response, in milliseconds, averaged over the 1024 last requests
    (backend/server)
ttime BS MaP u32 Total request+response time (request+queue+connect+response+processing), in milliseconds, averaged
    over the 1024 last requests (backend/server)
agent_status S MOP str Status report of the server's latest agent check, prefixed with '*' if a check is currently
    in progress
agent_code S MOP u32 Status code reported by the latest server agent check
agent_duration S MDP u64 Total duration of the latest server agent check, in milliseconds
check_desc S MOP str Textual description of the latest health check report for this server
agent_desc S MOP str Textual description of the latest agent check report for this server
check_rise S CGS u32 Number of successful health checks before declaring a server UP (server 'rise' setting)
check_fall S CGS u32 Number of failed health checks before declaring a server DOWN (server 'fall' setting)
check_health S CGS u32 Current server health check level (0..fall-1=DOWN, fall..rise-1=UP)
agent_rise S CGS u32 Number of successful agent checks before declaring a server UP (server 'rise' setting)
agent_fall S CGS u32 Number of failed agent checks before declaring a server DOWN (server 'fall' setting)
agent_health S CGS u32 Current server agent check level (0..fall-1=DOWN, fall..rise-1=UP)
addr LS CGS str Server's address:port, shown only if show-legends is set, or at levels oper/admin for the CLI
cookie BS CNS str Backend's cookie name or Server's cookie value, shown only if show-legends is set, or at levels
    oper/admin for the CLI
mode LFBS CGS str 'mode' setting (tcp/http/health/cli)
algo B CGS str Backend's load balancing algorithm, shown only if show-legends is set, or at levels oper/admin for
    the CLI
conn_rate F MRP u32 Number of new connections accepted over the last second on the frontend for this worker process
conn_rate_max F MMP u32 Highest value of connections per second observed since the worker process started
conn_tot F MCP u64 Total number of new connections accepted on this frontend since the worker process started
intercepted F MCP u64 Total number of HTTP requests intercepted on the frontend (redirects/stats/services) since the
    worker process started
dcon LF MCP u64 Total number of incoming connections blocked on a listener/frontend by a tcp-request connection rule
    since the worker process started
dses LF MCP u64 Total number of incoming sessions blocked on a listener/frontend by a tcp-request connection rule
    since the worker process started
wrew LFBS MCP u64 Total number of failed HTTP header rewrites since the worker process started
connect BS MCP u64 Total number of outgoing connection attempts on this backend/server since the worker process
    started
reuse BS MCP u64 Total number of reused connection on this backend/server since the worker process started
cache_lookups FB MCP u64 Total number of HTTP requests looked up in the cache on this frontend/backend since the
    worker process started
cache_hits FB MCP u64 Total number of HTTP requests not found in the cache on this frontend/backend since the worker
    process started
srv_icur S MGP u32 Current number of idle connections available for reuse on this server
src_ilim S CLP u32 Limit on the number of available idle connections on this server (server 'pool_max_conn'
    directive)
qtime_max BS MMP u32 Maximum observed time spent in the queue, in milliseconds (backend/server)
ctime_max BS MMP u32 Maximum observed time spent waiting for a connection to complete, in milliseconds
    (backend/server)
rtime_max BS MMP u32 Maximum observed time spent waiting for a server response, in milliseconds (backend/server)
ttime_max BS MMP u32 Maximum observed total request+response time (request+queue+connect+response+processing), in
    milliseconds (backend/server)
eint LFBS MCP u64 Total number of internal errors since process started
idle_conn_cur S MGP u32 Current number of unsafe idle connections
safe_conn_cur S MGP u32 Current number of safe idle connections
used_conn_cur S MGP u32 Current number of connections in use
need_conn_est S MGP u32 Estimated needed number of connections
uweight BS MaP u32 Server's user weight, or sum of active servers' user weights for a backend
agg_server_status B MGP u32 Backend's aggregated gauge of servers' status
agg_server_check_status B MGP u32 Backend's aggregated gauge of servers' state check status
agg_check_status B MGP u32 Backend's aggregated gauge of servers' state check status
"""
"""HAProxy 2.6's, in its order. Programs read them by position."""

NEWER = """
srid S CGS u32 Server id revision
sess_other F MCP u64 Total number of sessions other than HTTP since process started
h1_sess F MCP u64 Total number of HTTP/1 sessions since process started
h2_sess F MCP u64 Total number of HTTP/2 sessions since process started
h3_sess F MCP u64 Total number of HTTP/3 sessions since process started
req_other F MCP u64 Total number of sessions other than HTTP processed by this object since the worker process
    started
h1req F MCP u64 Total number of HTTP/1 sessions processed by this object since the worker process started
h2req F MCP u64 Total number of HTTP/2 sessions processed by this object since the worker process started
h3req F MCP u64 Total number of HTTP/3 sessions processed by this object since the worker process started
proto L CGS str Protocol
priv_idle_cur S MGP u32 Current number of private idle connections
"""
"""What HAProxy 3 added behind them (management.txt, section 9.1)."""

MODULES = """
ssl_sess LFBS MCP u64 Total number of ssl sessions established
ssl_reused_sess LFBS MCP u64 Total number of ssl sessions reused
ssl_failed_handshake LFBS MCP u64 Total number of failed handshake
h2_headers_rcvd FB MCP u64 Total number of received HEADERS frames
h2_data_rcvd FB MCP u64 Total number of received DATA frames
h2_settings_rcvd FB MCP u64 Total number of received SETTINGS frames
h2_rst_stream_rcvd FB MCP u64 Total number of received RST_STREAM frames
h2_goaway_rcvd FB MCP u64 Total number of received GOAWAY frames
h2_detected_conn_protocol_errors FB MCP u64 Total number of connection protocol errors
h2_detected_strm_protocol_errors FB MCP u64 Total number of stream protocol errors
h2_rst_stream_resp FB MCP u64 Total number of RST_STREAM sent on detected error
h2_goaway_resp FB MCP u64 Total number of GOAWAY sent on detected error
h2_open_connections FB MGP u64 Count of currently open connections
h2_backend_open_streams FB MGP u64 Count of currently open streams
h2_total_connections FB MCP u64 Total number of connections
h2_backend_total_streams FB MCP u64 Total number of streams
h1_open_connections FB MGP u64 Count of currently open connections
h1_open_streams FB MGP u64 Count of currently open streams
h1_total_connections FB MCP u64 Total number of connections
h1_total_streams FB MCP u64 Total number of streams
h1_bytes_in FB MCP u64 Total number of bytes received
h1_bytes_out FB MCP u64 Total number of bytes send
h1_spliced_bytes_in FB MCP u64 Total number of bytes received using kernel splicing
h1_spliced_bytes_out FB MCP u64 Total number of bytes sendusing kernel splicing
"""
"""What modules count; read by name, behind a column called `-`."""
