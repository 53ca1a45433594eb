"""The functions of libscip that native code calls, with their types.

A function that was not bound is a segmentation fault when it is called, not an exception. So this table is the only
place where a name enters native code, and `cosolve.plugins.scip.library` looks for every name of it first.
"""

from __future__ import annotations

from typing import Any

from numba import types

_TYPES = {
    "p": types.int64,  # a pointer
    "i": types.int32,  # int, an enum or SCIP_RETCODE: 32 bits in every build of SCIP
    "b": types.uint32,  # SCIP_Bool
    "l": types.int64,  # SCIP_Longint
    "r": types.float64,  # SCIP_Real
}

SIGNATURES = {
    # Candidates and columns.
    "SCIPgetLPBranchCands": "i:ppppppp",
    "SCIPvarGetCol": "p:p",
    "SCIPvarGetObj": "r:p",
    "SCIPvarGetRootSol": "r:p",
    "SCIPvarGetAvgSol": "r:p",
    "SCIPvarGetName": "p:p",
    "SCIPcolGetNNonz": "i:p",
    "SCIPcolGetNLPNonz": "i:p",
    "SCIPcolGetRows": "p:p",
    "SCIPcolGetVals": "p:p",
    "SCIPgetNLPCols": "i:p",
    # Rows.
    "SCIPgetNLPRows": "i:p",
    "SCIProwGetLPPos": "i:p",
    "SCIProwGetNLPNonz": "i:p",
    "SCIProwGetDualsol": "r:p",
    "SCIProwGetNorm": "r:p",
    "SCIProwGetLhs": "r:p",
    "SCIProwGetRhs": "r:p",
    "SCIPgetRowLPActivity": "r:pp",
    # What the search has learnt.
    "SCIPgetVarPseudocostVal": "r:ppr",
    "SCIPgetVarPseudocostCountCurrentRun": "r:ppi",
    "SCIPgetVarAvgInferences": "r:ppi",
    "SCIPgetVarConflictScore": "r:pp",
    "SCIPgetBestSol": "p:p",
    "SCIPgetSolVal": "r:ppp",
    # Where the search stands.
    "SCIPgetCutoffbound": "r:p",
    "SCIPgetLPObjval": "r:p",
    "SCIPinfinity": "r:p",
    "SCIPgetDepth": "i:p",
    "SCIPgetFocusNode": "p:p",
    "SCIPnodeGetNumber": "l:p",
    "SCIPnodeGetParent": "p:p",
    # Deciding.
    "SCIPbranchruleGetData": "p:p",
    "SCIPbranchVar": "i:ppppp",
    "SCIPstartStrongbranch": "i:pb",
    "SCIPgetVarStrongbranchFrac": "i:ppib" + "p" * 9,
    "SCIPendStrongbranch": "i:p",
    "SCIPgetBranchScore": "r:pprr",
}
"""Result and arguments of each function, one letter each."""


def _external(name: str) -> Any:
    result, arguments = SIGNATURES[name].split(":")
    return types.ExternalFunction(name, _TYPES[result](*(_TYPES[letter] for letter in arguments)))


SCIPgetLPBranchCands = _external("SCIPgetLPBranchCands")
SCIPvarGetCol = _external("SCIPvarGetCol")
SCIPvarGetObj = _external("SCIPvarGetObj")
SCIPvarGetRootSol = _external("SCIPvarGetRootSol")
SCIPvarGetAvgSol = _external("SCIPvarGetAvgSol")
SCIPvarGetName = _external("SCIPvarGetName")
SCIPcolGetNNonz = _external("SCIPcolGetNNonz")
SCIPcolGetNLPNonz = _external("SCIPcolGetNLPNonz")
SCIPcolGetRows = _external("SCIPcolGetRows")
SCIPcolGetVals = _external("SCIPcolGetVals")
SCIPgetNLPCols = _external("SCIPgetNLPCols")
SCIPgetNLPRows = _external("SCIPgetNLPRows")
SCIProwGetLPPos = _external("SCIProwGetLPPos")
SCIProwGetNLPNonz = _external("SCIProwGetNLPNonz")
SCIProwGetDualsol = _external("SCIProwGetDualsol")
SCIProwGetNorm = _external("SCIProwGetNorm")
SCIProwGetLhs = _external("SCIProwGetLhs")
SCIProwGetRhs = _external("SCIProwGetRhs")
SCIPgetRowLPActivity = _external("SCIPgetRowLPActivity")
SCIPgetVarPseudocostVal = _external("SCIPgetVarPseudocostVal")
SCIPgetVarPseudocostCountCurrentRun = _external("SCIPgetVarPseudocostCountCurrentRun")
SCIPgetVarAvgInferences = _external("SCIPgetVarAvgInferences")
SCIPgetVarConflictScore = _external("SCIPgetVarConflictScore")
SCIPgetBestSol = _external("SCIPgetBestSol")
SCIPgetSolVal = _external("SCIPgetSolVal")
SCIPgetCutoffbound = _external("SCIPgetCutoffbound")
SCIPgetLPObjval = _external("SCIPgetLPObjval")
SCIPinfinity = _external("SCIPinfinity")
SCIPgetDepth = _external("SCIPgetDepth")
SCIPgetFocusNode = _external("SCIPgetFocusNode")
SCIPnodeGetNumber = _external("SCIPnodeGetNumber")
SCIPnodeGetParent = _external("SCIPnodeGetParent")
SCIPbranchruleGetData = _external("SCIPbranchruleGetData")
SCIPbranchVar = _external("SCIPbranchVar")
SCIPstartStrongbranch = _external("SCIPstartStrongbranch")
SCIPgetVarStrongbranchFrac = _external("SCIPgetVarStrongbranchFrac")
SCIPendStrongbranch = _external("SCIPendStrongbranch")
SCIPgetBranchScore = _external("SCIPgetBranchScore")
