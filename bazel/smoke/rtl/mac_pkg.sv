// Types of the smoke test; compiled first because a library's deps come first.
package mac_pkg;
  typedef logic signed [7:0] act_t;
  typedef logic signed [31:0] sum_t;
endpackage
