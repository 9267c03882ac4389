"""The numbers of one configuration that generated code in any language may name."""

from jacquard.proto.lib import arch as arch_lib


def integers(arch: arch_lib.Arch) -> list[tuple[str, int, str]]:
    """(UpperCamelCase name, value, comment), in order of the schema, derived ones after theirs."""
    return [
        ("Rows", arch.rows, "array rows"),
        ("Cols", arch.cols, "array columns"),
        ("Lanes", arch.lanes, "vector lanes"),
        ("ActBits", arch.act_bits, "activation width"),
        ("WeightBits", arch.weight_bits, "weight width"),
        ("AccBits", arch.acc_bits, "accumulator width"),
        ("IbufBytes", arch.ibuf_bytes, "capacity"),
        ("IbufRowBytes", arch.ibuf_row_bytes, ""),
        ("IbufRows", arch.ibuf_rows, ""),
        ("WbufBytes", arch.wbuf_bytes, "capacity"),
        ("WbufRowBytes", arch.wbuf_row_bytes, ""),
        ("WbufRows", arch.wbuf_rows, ""),
        ("ObufBytes", arch.obuf_bytes, "capacity"),
        ("ObufRowBytes", arch.obuf_row_bytes, ""),
        ("ObufRows", arch.obuf_rows, "both halves"),
        ("ObufHalfRows", arch.obuf_half_rows, "the upper half starts at this row"),
        ("VmemBytes", arch.vmem_bytes, "capacity"),
        ("VmemRowBytes", arch.vmem_row_bytes, ""),
        ("VmemRows", arch.vmem_rows, ""),
        ("ParamBytes", arch.param_bytes, "capacity"),
        ("ParamRowBytes", arch.param_row_bytes, ""),
        ("ParamRows", arch.param_rows, ""),
        ("TableBytes", arch.table_bytes, "capacity, seen by a program"),
        ("TableRowBytes", arch.table_row_bytes, "a table"),
        ("TableRows", arch.table_rows, "tables"),
        ("DramBytes", arch.bytes_per_cycle, "AXI data width in bytes"),
        ("DramLatencyCycles", arch.latency_cycles, "of the simulated DRAM"),
        ("QueueDepth", arch.queue_depth, "instructions waiting per engine"),
        ("TokenBits", arch.token_bits, "width of a token counter"),
        ("FetchBufferBytes", arch.fetch_buffer_bytes, "instruction bytes fetched ahead"),
        ("WatchdogCycles", arch.watchdog_cycles, "without any engine retiring"),
        ("LoadInflight", arch.load.instructions_in_flight, "LOAD instructions in flight"),
        ("LoadBursts", arch.load.outstanding_bursts, "outstanding read bursts"),
        ("LoadBufferBytes", arch.load.buffer_bytes, "read data in flight"),
        ("StoreInflight", arch.store.instructions_in_flight, "STORE instructions in flight"),
        ("StoreBursts", arch.store.outstanding_bursts, "outstanding write bursts"),
        ("StoreBufferBytes", arch.store.buffer_bytes, "write data in flight"),
    ]
