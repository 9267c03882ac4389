// The data of the pipe, stages 1 to 10 (npu_vector_pkg says what each does).
//
// One process in which the stages stand last to first: each reads what the one before it left in the
// former cycle and then is overwritten by it, so that no register is copied to be simulated. In
// hardware these are the registers between the stages; the number in a name is the stage that reads it.
//
// A new operation is a line in stage 2. One that needs more cycles gets registers of its own beside
// stage 2, like the transposer's square.
`include "npu_macros.svh"

module npu_vector_lanes
  import npu_isa_pkg::*;
  import npu_vector_pkg::*;
(
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               clear_i,
  input  logic               stall_i,
  input  logic [1:0]         take_i,   // operands with read data on the wires, or kept; others hold
  input  logic [Stages-1:1]  valid_i,
  input  tag_t               tag_i [Stages+1],
  input  logic               enter_i,  // an instruction's first iteration comes to stage 1, with:
  input  config_t            config_i,
  input  logic               turned_i,   // stage 2: a vector leaves the transposer
  input  logic               columns_i,  // along which direction it is used now
  input  logic [IndexBits-1:0] index_i,

  input  logic signed [31:0] data_i [2][Lanes],
  input  logic signed [31:0] bias_i [Lanes],  // in stage 5
  input  logic signed [31:0] mult_i [Lanes],  // in stage 5
  output logic [11:0]        table_entry_o [Lanes],  // in stage 9
  input  logic [31:0]        table_data_i [Lanes],   // in stage 10
  output logic signed [31:0] data_o [2][Lanes],
  output logic [Lanes-1:0]   mask_o
);
  config_t            config_q [Stages];  // of the instruction in each stage; [0] is not used
  logic               kept_q;  // read data came while the pipe stood still
  logic signed [31:0] kept_data_q [2][Lanes];
  logic signed [31:0] a2_q       [Lanes];
  logic signed [31:0] b2_q       [Lanes];
  logic signed [31:0] square_q   [Lanes][Lanes];  // of the transposer
  logic signed [63:0] t3_q       [Lanes];
  logic signed [63:0] sum4_q     [Lanes];  // the accumulator while a group lasts
  logic signed [63:0] v5_q       [Lanes];
  logic signed [63:0] v6_q       [Lanes];
  logic signed [31:0] mult6_q    [Lanes];
  logic signed [63:0] product7_q [Lanes];
  logic signed [63:0] shifted8_q [Lanes];
  logic signed [31:0] y9_q       [Lanes];
  logic signed [31:0] y10_q      [Lanes];
  logic signed [31:0] y_q        [Lanes];
  logic [11:0]        entry_d    [Lanes];  // scratch
  // B * mult2 of SADD waits here for the product of stage 6.
  logic signed [63:0] addend3_q  [Lanes];
  logic signed [63:0] addend4_q  [Lanes];
  logic signed [63:0] addend5_q  [Lanes];
  logic signed [63:0] addend6_q  [Lanes];
  logic [Lanes-1:0]   mask3_q, mask4_q, mask5_q, mask6_q, mask7_q, mask8_q, mask9_q, mask10_q;

  `NPU_IN_PLACE_BEGIN
  always_ff @(posedge clk_i) begin : lanes
    automatic int unsigned        l, k;
    automatic logic signed [63:0] offset, lo, hi, x, floor, below, middle, identity;
    automatic logic signed [31:0] m1, m2, y, e, low, high, whole, rest, half;
    automatic logic [5:0]         amount;
    automatic logic [7:0]         tail_lanes;

    if (!rst_ni || clear_i) begin
      kept_q = 1'b0;
    end else if (stall_i) begin
      if (take_i != '0 && !kept_q) begin
        kept_q = 1'b1;
        kept_data_q = data_i;
      end
    end else if (enter_i || take_i != '0 || valid_i != '0 || turned_i) begin
      if (valid_i[10]) begin : saturate
        if (config_q[10].table_) begin
          whole = 32'(config_q[10].table_shift);
          rest = (32'sd1 <<< whole) - 32'sd1;
          half = (32'sd1 <<< whole) >>> 1;
          // As in stage 7, in 32 bits; |base * 256 + slope * f| < 2^24.
          `NPU_FOR(l, Lanes)
            y = $signed(table_data_i[l]) >>> 16;
            e = $signed(table_data_i[l] << 16) >>> 8;
            e = e + y * (y10_q[l] & 32'sd255);
            y = e >>> whole;
            e = e & rest;
            y10_q[l] = y + (e > half - (y & 32'sd1) && rest != 32'sd0 ? 32'sd1 : 32'sd0);
          `NPU_END_FOR
        end
        low = config_q[10].lo;
        high = config_q[10].hi;
        `NPU_FOR(l, Lanes)
          y = y10_q[l] < low ? low : y10_q[l];
          y_q[l] = y > high ? high : y;
        `NPU_END_FOR
        data_o[0] <= y_q;
        if (config_q[10].has_dst2) begin
          low = config_q[10].lo2;
          high = config_q[10].hi2;
          `NPU_FOR(l, Lanes)
            y = y10_q[l] < low ? low : y10_q[l];
            y_q[l] = y > high ? high : y;
          `NPU_END_FOR
          data_o[1] <= y_q;
        end
        mask_o <= mask10_q;
      end

      if (valid_i[9]) begin : look_up
        y10_q = y9_q;
        mask10_q = mask9_q;
        if (tag_i[9].fresh) config_q[10] = config_q[9];
      end

      if (valid_i[8]) begin : clamp
        offset = 64'(config_q[8].zero_point);
        lo = 64'(config_q[8].bottom);
        hi = 64'(config_q[8].top);
        `NPU_FOR(l, Lanes)
          x = shifted8_q[l] + offset;
          x = x < lo ? lo : x;
          y9_q[l] = x > hi ? 32'(hi) : 32'(x);
        `NPU_END_FOR
        if (config_q[8].table_) begin
          `NPU_FOR(l, Lanes)
            entry_d[l] = {config_q[8].table_index, ~y9_q[l][15], y9_q[l][14:8]};
          `NPU_END_FOR
          table_entry_o <= entry_d;
        end
        mask9_q = mask8_q;
        if (tag_i[8].fresh) config_q[9] = config_q[8];
      end

      if (valid_i[7]) begin : shift
        amount = config_q[7].shift;
        if (config_q[7].scale == ScaleModeOff || amount == '0) begin
          shifted8_q = product7_q;
        end else begin
          below  = (64'sd1 <<< amount) - 64'sd1;
          middle = 64'sd1 <<< (amount - 6'd1);
          // Up from above the middle, and from the middle itself if that makes the result even. All
          // terms are signed: one unsigned among them would make the shift logical.
          `NPU_FOR(l, Lanes)
            floor = product7_q[l] >>> amount;
            x = product7_q[l] & below;
            shifted8_q[l] = floor + (x > middle - (floor & 64'sd1) ? 64'sd1 : 64'sd0);
          `NPU_END_FOR
        end
        mask8_q = mask7_q;
        if (tag_i[7].fresh) config_q[8] = config_q[7];
      end

      if (valid_i[6]) begin : multiply
        if (config_q[6].scale == ScaleModeOff) begin
          product7_q = v6_q;
        end else if (config_q[6].op == VectorOpSadd) begin
          `NPU_FOR(l, Lanes)
            product7_q[l] = v6_q[l] * 64'(mult6_q[l]) + addend6_q[l];
          `NPU_END_FOR
        end else begin
          `NPU_FOR(l, Lanes) product7_q[l] = v6_q[l] * 64'(mult6_q[l]); `NPU_END_FOR
        end
        mask7_q = mask6_q;
        if (tag_i[6].fresh) config_q[7] = config_q[6];
      end

      if (valid_i[5]) begin : bias
        m1 = config_q[5].mult1;
        m2 = config_q[5].mult2;
        if (config_q[5].scale == ScaleModePerLane) begin
          `NPU_FOR(l, Lanes) v6_q[l] = v5_q[l] + 64'(bias_i[l]); `NPU_END_FOR
          mult6_q = mult_i;
        end else begin
          v6_q = v5_q;
          `NPU_FOR(l, Lanes) mult6_q[l] = m1; `NPU_END_FOR
        end
        if (config_q[5].op == VectorOpLeaky) begin
          `NPU_FOR(l, Lanes) mult6_q[l] = v6_q[l] < 0 ? m2 : mult6_q[l]; `NPU_END_FOR
        end
        if (config_q[5].op == VectorOpSadd) addend6_q = addend5_q;
        mask6_q = mask5_q;
        if (tag_i[5].fresh) config_q[6] = config_q[5];
      end

      if (valid_i[4]) begin : across_lanes
        v5_q = sum4_q;
        if (config_q[4].reduce_lanes) begin
          // A tree: in each round the lower k lanes take in the k above them.
          for (k = Lanes / 2; k > 0; k = k / 2) begin
            unique case (config_q[4].reduce)
              ReduceOpMaximum:
                `NPU_FOR(l, k)
                  v5_q[l] = v5_q[l] > v5_q[l+k] ? v5_q[l] : v5_q[l+k];
                `NPU_END_FOR
              ReduceOpMinimum:
                `NPU_FOR(l, k)
                  v5_q[l] = v5_q[l] < v5_q[l+k] ? v5_q[l] : v5_q[l+k];
                `NPU_END_FOR
              default: `NPU_FOR(l, k) v5_q[l] = v5_q[l] + v5_q[l+k]; `NPU_END_FOR
            endcase
          end
          x = v5_q[0];
          `NPU_FOR(l, Lanes) v5_q[l] = x; `NPU_END_FOR
        end
        if (config_q[4].op == VectorOpSadd) addend5_q = addend4_q;
        mask5_q = mask4_q;
        if (tag_i[4].fresh) config_q[5] = config_q[4];
      end

      if (valid_i[3]) begin : accumulate
        if (tag_i[3].first) begin
          sum4_q = t3_q;
        end else begin
          unique case (config_q[3].reduce)
            ReduceOpMaximum:
              `NPU_FOR(l, Lanes)
                sum4_q[l] = sum4_q[l] > t3_q[l] ? sum4_q[l] : t3_q[l];
              `NPU_END_FOR
            ReduceOpMinimum:
              `NPU_FOR(l, Lanes)
                sum4_q[l] = sum4_q[l] < t3_q[l] ? sum4_q[l] : t3_q[l];
              `NPU_END_FOR
            default: `NPU_FOR(l, Lanes) sum4_q[l] = sum4_q[l] + t3_q[l]; `NPU_END_FOR
          endcase
        end
        if (config_q[3].op == VectorOpSadd) addend4_q = addend3_q;
        mask4_q = mask3_q;
        if (tag_i[3].last && tag_i[3].fresh) config_q[4] = config_q[3];
      end

      if (turned_i) begin : turned
        if (columns_i) begin
          `NPU_FOR(l, Lanes) t3_q[l] = 64'(square_q[l][index_i]); `NPU_END_FOR
        end else begin
          `NPU_FOR(l, Lanes) t3_q[l] = 64'(square_q[index_i][l]); `NPU_END_FOR
        end
        mask3_q = '1;
        // Nobody else moves into stage 3 before the last vector has left the square.
        config_q[3] = config_q[2];
      end

      if (valid_i[2]) begin : alu
        unique case (config_q[2].op)
          VectorOpAdd: `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l]) + 64'(b2_q[l]); `NPU_END_FOR
          VectorOpSub: `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l]) - 64'(b2_q[l]); `NPU_END_FOR
          VectorOpMul: `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l]) * 64'(b2_q[l]); `NPU_END_FOR
          VectorOpMin:
            `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l] < b2_q[l] ? a2_q[l] : b2_q[l]); `NPU_END_FOR
          VectorOpMax:
            `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l] > b2_q[l] ? a2_q[l] : b2_q[l]); `NPU_END_FOR
          VectorOpShl:
            `NPU_FOR(l, Lanes) t3_q[l] = 64'($signed(a2_q[l] << b2_q[l][4:0])); `NPU_END_FOR
          VectorOpShr:
            `NPU_FOR(l, Lanes) t3_q[l] = 64'($signed(a2_q[l] >>> b2_q[l][4:0])); `NPU_END_FOR
          VectorOpShrl:
            `NPU_FOR(l, Lanes) t3_q[l] = 64'($signed(a2_q[l] >> b2_q[l][4:0])); `NPU_END_FOR
          VectorOpAnd: `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l] & b2_q[l]); `NPU_END_FOR
          VectorOpOr: `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l] | b2_q[l]); `NPU_END_FOR
          VectorOpXor: `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l] ^ b2_q[l]); `NPU_END_FOR
          VectorOpNot: `NPU_FOR(l, Lanes) t3_q[l] = 64'(~a2_q[l]); `NPU_END_FOR
          VectorOpEq: `NPU_FOR(l, Lanes) t3_q[l] = a2_q[l] == b2_q[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
          VectorOpNe: `NPU_FOR(l, Lanes) t3_q[l] = a2_q[l] != b2_q[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
          VectorOpLt: `NPU_FOR(l, Lanes) t3_q[l] = a2_q[l] < b2_q[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
          VectorOpLe: `NPU_FOR(l, Lanes) t3_q[l] = a2_q[l] <= b2_q[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
          VectorOpGt: `NPU_FOR(l, Lanes) t3_q[l] = a2_q[l] > b2_q[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
          VectorOpGe: `NPU_FOR(l, Lanes) t3_q[l] = a2_q[l] >= b2_q[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
          VectorOpRelu: `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l] > 0 ? a2_q[l] : 0); `NPU_END_FOR
          VectorOpTranspose: begin
            // The place that has just become free, see `turned`.
            `NPU_FOR_ONLY(k, Lanes, index_i)
              if (columns_i) begin
                `NPU_FOR(l, Lanes) square_q[l][k] = a2_q[l]; `NPU_END_FOR
              end else begin
                `NPU_FOR(l, Lanes) square_q[k][l] = a2_q[l]; `NPU_END_FOR
              end
            `NPU_END_FOR
          end
          // In steps of 16, 8, 4 and 2: E is even.
          VectorOpExponent:
            `NPU_FOR(l, Lanes)
              y = a2_q[l];
              e = y >= 32'sd65536 ? 32'sd16 : 32'sd0;
              y = y >= 32'sd65536 ? y >>> 16 : y;
              e = y >= 32'sd256 ? e + 32'sd8 : e;
              y = y >= 32'sd256 ? y >>> 8 : y;
              e = y >= 32'sd16 ? e + 32'sd4 : e;
              y = y >= 32'sd16 ? y >>> 4 : y;
              e = y >= 32'sd4 ? e + 32'sd2 : e;
              t3_q[l] = 64'(e);
            `NPU_END_FOR
          VectorOpNorm:
            `NPU_FOR(l, Lanes)
              y = a2_q[l] > 0 ? a2_q[l] : 0;
              y = y >= 32'sh4000_0000 ? y >>> 2 : y;
              y = y < 32'sh0000_4000 ? y <<< 16 : y;
              y = y < 32'sh0040_0000 ? y <<< 8 : y;
              y = y < 32'sh0400_0000 ? y <<< 4 : y;
              y = y < 32'sh1000_0000 ? y <<< 2 : y;
              t3_q[l] = 64'(y);
            `NPU_END_FOR
          default:  // MOVE, and what differs from it elsewhere: SELECT, SADD, LEAKY
            `NPU_FOR(l, Lanes) t3_q[l] = 64'(a2_q[l]); `NPU_END_FOR
        endcase

        if (config_q[2].op == VectorOpSadd) begin
          // One multiplier a lane does for this and for MUL.
          m2 = config_q[2].mult2;
          `NPU_FOR(l, Lanes) addend3_q[l] = 64'(b2_q[l]) * 64'(m2); `NPU_END_FOR
        end

        mask3_q = '1;
        tail_lanes = config_q[2].tail_lanes;
        if (tag_i[2].tail && tail_lanes != 8'(Lanes)) begin
          if (config_q[2].reduce_loops || config_q[2].reduce_lanes) begin
            unique case (config_q[2].reduce)
              ReduceOpMaximum: identity = 64'sh8000_0000_0000_0000;
              ReduceOpMinimum: identity = 64'sh7fff_ffff_ffff_ffff;
              default: identity = 64'sd0;
            endcase
            `NPU_FOR(l, Lanes) t3_q[l] = l < 32'(tail_lanes) ? t3_q[l] : identity; `NPU_END_FOR
          end else begin
            mask3_q = ~(mask3_q << tail_lanes);
          end
        end
        if (config_q[2].op == VectorOpSelect) begin
          `NPU_FOR(l, Lanes) mask3_q[l] = mask3_q[l] && b2_q[l] != 0; `NPU_END_FOR
        end
        if (tag_i[2].start && !tag_i[2].transpose) config_q[3] = config_q[2];
      end

      if (take_i != '0 || valid_i[1]) begin : operand
        // Where both sources lie in one memory, the data of src1 comes a cycle earlier and waits.
        m1 = config_q[1].imm1;
        m2 = config_q[1].imm2;
        if (take_i[0]) begin
          if (kept_q) begin
            `NPU_FOR(l, Lanes) a2_q[l] = kept_data_q[0][l] + m1; `NPU_END_FOR
          end else begin
            `NPU_FOR(l, Lanes) a2_q[l] = data_i[0][l] + m1; `NPU_END_FOR
          end
        end else if (!config_q[1].has_src1) begin
          `NPU_FOR(l, Lanes) a2_q[l] = m1; `NPU_END_FOR
        end
        if (config_q[1].same) begin
          m2 = m2 - m1;
          `NPU_FOR(l, Lanes) b2_q[l] = a2_q[l] + m2; `NPU_END_FOR
        end else if (take_i[1]) begin
          if (kept_q) begin
            `NPU_FOR(l, Lanes) b2_q[l] = kept_data_q[1][l] + m2; `NPU_END_FOR
          end else begin
            `NPU_FOR(l, Lanes) b2_q[l] = data_i[1][l] + m2; `NPU_END_FOR
          end
        end else if (!config_q[1].has_src2) begin
          `NPU_FOR(l, Lanes) b2_q[l] = m2; `NPU_END_FOR
        end
        kept_q = 1'b0;
        if (valid_i[1] && tag_i[1].start) config_q[2] = config_q[1];
      end

      if (enter_i) config_q[1] = config_i;
    end
  end
  `NPU_IN_PLACE_END
endmodule
