"""The Prometheus exporter's names for what `show info` and `show stat` say: HAProxy's, as dashboards know them."""

from __future__ import annotations

PROCESS = """
Nbthread nbthread gauge
Nbproc nbproc gauge
Process_num relative_process_id gauge
Uptime_sec uptime_seconds gauge
PoolFailed pool_failures_total counter
Ulimit-n max_fds gauge
Maxsock max_sockets gauge
Maxconn max_connections gauge
Hard_maxconn hard_max_connections gauge
CurrConns current_connections gauge
CumConns connections_total counter
CumReq requests_total counter
MaxSslConns max_ssl_connections gauge
CurrSslConns current_ssl_connections gauge
CumSslConns ssl_connections_total counter
Maxpipes max_pipes gauge
PipesUsed pipes_used_total counter
PipesFree pipes_free_total counter
ConnRate current_connection_rate gauge
ConnRateLimit limit_connection_rate gauge
MaxConnRate max_connection_rate gauge
SessRate current_session_rate gauge
SessRateLimit limit_session_rate gauge
MaxSessRate max_session_rate gauge
SslRate current_ssl_rate gauge
SslRateLimit limit_ssl_rate gauge
MaxSslRate max_ssl_rate gauge
SslFrontendKeyRate current_frontend_ssl_key_rate gauge
SslFrontendMaxKeyRate max_frontend_ssl_key_rate gauge
SslFrontendSessionReuse_pct frontend_ssl_reuse gauge
SslBackendKeyRate current_backend_ssl_key_rate gauge
SslBackendMaxKeyRate max_backend_ssl_key_rate gauge
SslCacheLookups ssl_cache_lookups_total counter
SslCacheMisses ssl_cache_misses_total counter
CompressBpsIn http_comp_bytes_in_total counter
CompressBpsOut http_comp_bytes_out_total counter
CompressBpsRateLim limit_http_comp gauge
ZlibMemUsage current_zlib_memory gauge
MaxZlibMemUsage max_zlib_memory gauge
Tasks current_tasks gauge
Run_queue current_run_queue gauge
Idle_pct idle_time_percent gauge
Stopping stopping gauge
Jobs jobs gauge
Unstoppable_Jobs unstoppable_jobs gauge
Listeners listeners gauge
ActivePeers active_peers gauge
ConnectedPeers connected_peers gauge
DroppedLogs dropped_logs_total counter
BusyPolling busy_polling_enabled gauge
FailedResolutions failed_resolutions counter
TotalBytesOut bytes_out_total counter
TotalSplicdedBytesOut spliced_bytes_out_total counter
BytesOutRate bytes_out_rate gauge
CumRecvLogs recv_logs_total counter
Build_info build_info gauge
Memmax_bytes max_memory_bytes gauge
PoolAlloc_bytes pool_allocated_bytes gauge
PoolUsed_bytes pool_used_bytes gauge
Start_time_sec start_time_seconds gauge
"""
"""Line of `show info`, metric below `haproxy_process_`, type."""

ROWS = """
qcur current_queue gauge
qmax max_queue gauge
scur current_sessions gauge
smax max_sessions gauge
slim limit_sessions gauge
stot sessions_total counter
bin bytes_in_total counter
bout bytes_out_total counter
dreq requests_denied_total counter
dresp responses_denied_total counter
ereq request_errors_total counter
econ connection_errors_total counter
eresp response_errors_total counter
wretr retry_warnings_total counter
wredis redispatch_warnings_total counter
status status gauge Current status of the service, per state label value.
weight weight gauge
act active_servers gauge
bck backup_servers gauge
chkfail check_failures_total counter
chkdown check_up_down_total counter
lastchg check_last_change_seconds gauge
downtime downtime_seconds_total counter
qlimit queue_limit gauge
throttle current_throttle gauge
lbtot loadbalanced_total counter
rate_lim limit_session_rate gauge
rate_max max_session_rate gauge
check_status check_status gauge Status of last health check, per state label value.
check_code check_code gauge layer5-7 code, if available of the last health check.
check_duration check_duration_seconds gauge Total duration of the latest server health check, in seconds.
hrsp_1xx http_responses_total counter
req_rate_max http_requests_rate_max gauge
req_tot http_requests_total counter
cli_abrt client_aborts_total counter
srv_abrt server_aborts_total counter
comp_in http_comp_bytes_in_total counter
comp_out http_comp_bytes_out_total counter
comp_byp http_comp_bytes_bypassed_total counter
comp_rsp http_comp_responses_total counter
lastsess last_session_seconds gauge
qtime queue_time_average_seconds gauge Avg. queue time for last 1024 successful connections.
ctime connect_time_average_seconds gauge Avg. connect time for last 1024 successful connections.
rtime response_time_average_seconds gauge Avg. response time for last 1024 successful connections.
ttime total_time_average_seconds gauge Avg. total time for last 1024 successful connections.
conn_rate_max connections_rate_max gauge
conn_tot connections_total counter
intercepted intercepted_requests_total counter
dcon denied_connections_total counter
dses denied_sessions_total counter
wrew failed_header_rewriting_total counter
connect connection_attempts_total counter
reuse connection_reuses_total counter
cache_lookups http_cache_lookups_total counter
cache_hits http_cache_hits_total counter
srv_icur idle_connections_current gauge
src_ilim idle_connections_limit gauge
qtime_max max_queue_time_seconds gauge Maximum observed time spent in the queue
ctime_max max_connect_time_seconds gauge Maximum observed time spent waiting for a connection to complete
rtime_max max_response_time_seconds gauge Maximum observed time spent waiting for a server response
ttime_max max_total_time_seconds gauge Maximum observed total request+response time
    (request+queue+connect+response+processing)
eint internal_errors_total counter
idle_conn_cur unsafe_idle_connections_current gauge
safe_conn_cur safe_idle_connections_current gauge
used_conn_cur used_connections_current gauge
need_conn_est need_connections_current gauge
uweight uweight gauge
agg_server_status agg_server_status gauge
agg_server_check_status agg_server_check_status gauge
agg_check_status agg_check_status gauge
"""
"""Column of `show stat`, metric below `haproxy_frontend_` and so on, type, and what it is unless as of the column.

A metric is there for every kind of row that has the column.
"""
