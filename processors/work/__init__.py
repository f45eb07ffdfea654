"""Work: processes that compute, apart from the gateway's own.

`runner` is the contract that a cluster could fill as well; `pool` fills it on this machine. `queue`
says who may compute now. A `worker_process` is one worker as the pool sees it, `worker` what runs
in it, with its `worker_source` and `worker_sink`; `wire` is what the two say, a `channel`
takes it across, and the `zygote` is what workers are forked from.
"""
