// What the two sides of the MATRIX sequencer tell each other.
package npu_matrix_pkg;
  // How a pass's first IBUF row follows from the pass before it.
  typedef enum logic [1:0] {
    StepFirst,  // first pass of an instruction: its ibuf field
    StepKx,     // s_kx on from the last pass
    StepKy,     // s_ky on from the last pass with kx = 0
    StepC       // s_c on from the last pass with kx = ky = 0
  } step_e;

  typedef struct packed {
    step_e               step;
    logic                last;   // of its instruction
    npu_isa_pkg::error_e error;  // not ErrorOk: the pass cannot run
  } pass_t;
endpackage
