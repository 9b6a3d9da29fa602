// Answers what ucum-lhc says: [number, from, to, options] -> the converted number, null where it converts nothing;
// [code] -> [magnitude, dimension vector].
const units = require("@lhncbc/ucum-lhc").UcumLhcUtils.getInstance();
const calls = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(
  JSON.stringify(
    calls.map((call) => {
      if (call.length > 2) {
        return units.convertUnitTo(call[1], Number(call[0]), call[2], call[3] || {}).toVal;
      }
      const { unit } = units.getSpecifiedUnit(call[0], "validate");
      return unit ? [unit.magnitude_, unit.dim_ ? unit.dim_.dimVec_ : null] : null;
    }),
  ),
);
