"""CDA documents of nobody, whose headers say much, little, or two patients."""

from __future__ import annotations

FULL = b"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
 <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
 <templateId root="2.16.840.1.113883.10.20.22.1.1" extension="2015-08-01"/>
 <id root="2.999.7.1" extension="D42"/>
 <code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summary of episode note"/>
 <title>Summary &amp; plan</title>
 <effectiveTime value="20260310143000-0500"/>
 <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
 <languageCode code="en-US"/>
 <recordTarget><patientRole>
  <id root="2.999.3" extension="77"/><id root="2.999.4" extension="A^9"/><id nullFlavor="UNK"/>
  <patient><name><given>Jo</given><given>Q</given><family>Sample</family></name>
   <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
   <birthTime value="19800229"/></patient>
 </patientRole></recordTarget>
 <author><time value="20260310"/><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="1234567893"/>
  <code code="207R00000X" codeSystem="2.16.840.1.113883.6.101" displayName="Internal medicine"/>
  <assignedPerson><name><prefix>Dr</prefix><given>Nora</given><family>Quill</family></name></assignedPerson>
  <representedOrganization><id root="2.999.8"/><name>Mercy &amp; Sons</name></representedOrganization>
 </assignedAuthor></author>
 <legalAuthenticator><assignedEntity><id root="2.16.840.1.113883.4.6" extension="1234567893"/>
  <assignedPerson><name><given>Nora</given><family>Quill</family></name></assignedPerson></assignedEntity>
 </legalAuthenticator>
 <documentationOf><serviceEvent classCode="PCPR"><code code="99213" codeSystem="2.16.840.1.113883.6.12"/>
  <effectiveTime><low value="20260301"/><high value="20260310"/></effectiveTime>
  </serviceEvent></documentationOf>
 <componentOf><encompassingEncounter><location><healthCareFacility>
  <code code="HOSP" codeSystem="2.16.840.1.113883.5.111"/>
   </healthCareFacility></location></encompassingEncounter>
 </componentOf>
 <component><structuredBody><component><section><text>Well.</text></section></component></structuredBody>
 </component>
</ClinicalDocument>
"""

BARE = b"""<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="0F0E5F1C-6C1F-4B8B-9C5E-3B2F5F8A7B11"/>
<code nullFlavor="UNK"/><effectiveTime value="20260310143000"/>
<recordTarget><patientRole><id root="2.999.3" extension="78"/></patientRole></recordTarget>
<component><nonXMLBody><text>Well.</text></nonXMLBody></component></ClinicalDocument>"""

UNNUMBERED = b'<ClinicalDocument xmlns="urn:hl7-org:v3"><id nullFlavor="NI"/></ClinicalDocument>'
